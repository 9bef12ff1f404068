import java.io.*;
import java.sql.*;
import java.util.*;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyManager;

/** pgjdbc: simple and extended, batches, cursors, COPY, large objects (FunctionCall), cancel. */
public class Jdbc {
  static void show(Connection c, String sql, Object... args) {
    try (PreparedStatement s = c.prepareStatement(sql)) {
      for (int i = 0; i < args.length; i++) s.setObject(i + 1, args[i]);
      if (s.execute()) {
        ResultSet r = s.getResultSet();
        int n = r.getMetaData().getColumnCount();
        while (r.next()) { StringJoiner j = new StringJoiner(","); for (int i = 1; i <= n; i++) j.add(r.getString(i)); System.out.println(j); }
      } else System.out.println(s.getUpdateCount());
    } catch (SQLException e) { System.out.println(e.getSQLState() + " " + e.getMessage().lines().findFirst().get()); }
  }

  public static void main(String[] a) throws Exception {
    Map<String, String> e = System.getenv();
    for (String mode : new String[] {"extended", "simple", "extendedForPrepared", "extendedCacheEverything"}) {
      Properties p = new Properties();
      p.put("user", e.get("PGUSER")); p.put("password", e.get("PGPASSWORD"));
      p.put("ssl", "true"); p.put("sslmode", "require"); p.put("preferQueryMode", mode); p.put("prepareThreshold", "2");
      try (Connection c = DriverManager.getConnection("jdbc:postgresql://" + e.get("PGHOST") + ":" + e.get("PGPORT") + "/" + e.get("PGDATABASE"), p)) {
        System.out.println(mode);
        show(c, "SELECT 1, 'x', NULL");
        show(c, "DROP TABLE IF EXISTS j");
        show(c, "CREATE TABLE j (id int PRIMARY KEY, t text)");
        for (int i = 0; i < 10; i++) show(c, "INSERT INTO j VALUES (?, ?)", i, "t'" + i);
        show(c, "INSERT INTO j VALUES (1, '')");
        show(c, "SELECT 1/0");
        c.setAutoCommit(false);
        try (PreparedStatement s = c.prepareStatement("INSERT INTO j VALUES (?, ?)")) {
          for (int i = 100; i < 1100; i++) { s.setInt(1, i); s.setString(2, "b"); s.addBatch(); }
          System.out.println(s.executeBatch().length);
          s.setInt(1, 1); s.setString(2, ""); s.addBatch();
          s.executeBatch();
        } catch (BatchUpdateException x) { System.out.println(x.getSQLState() + " " + x.getUpdateCounts().length); }
        show(c, "SELECT 1");
        c.rollback();
        try (Statement s = c.createStatement()) {
          s.setFetchSize(7);
          ResultSet r = s.executeQuery("SELECT g FROM generate_series(1, 1000) g");
          long sum = 0; while (r.next()) sum += r.getLong(1);
          System.out.println(sum);
          Savepoint sp = c.setSavepoint(); show(c, "SELECT 1/0"); c.rollback(sp); show(c, "SELECT 2");
        }
        PGConnection pg = c.unwrap(PGConnection.class);
        if (!mode.equals("simple")) {
          var lo = pg.getLargeObjectAPI(); long oid = lo.createLO();
          var o = lo.open(oid); o.write("large".repeat(1000).getBytes()); o.seek(4990); System.out.println(new String(o.read(100))); o.close(); lo.delete(oid);
        }
        c.commit(); c.setAutoCommit(true);
        CopyManager m = pg.getCopyAPI();
        System.out.println(m.copyIn("COPY j FROM STDIN", new StringReader("5000\tx\n5001\ty\n")));
        StringWriter w = new StringWriter(); System.out.println(m.copyOut("COPY j TO STDOUT", w) + " " + w.toString().length());
        show(c, "LISTEN ch"); show(c, "NOTIFY ch, 'x'");
        for (var n : pg.getNotifications(5000)) System.out.println(n.getName() + " " + n.getParameter() + " " + (n.getPID() == pg.getBackendPID()));
        try (Statement s = c.createStatement()) { s.setQueryTimeout(1); s.execute("SELECT pg_sleep(60)"); } catch (SQLException x) { System.out.println(x.getSQLState()); }
        show(c, "SELECT 'alive'");
        DatabaseMetaData d = c.getMetaData();
        ResultSet r = d.getColumns(null, "public", "j", "%"); while (r.next()) System.out.println(r.getString("COLUMN_NAME") + " " + r.getString("TYPE_NAME"));
        System.out.println(d.getDatabaseProductVersion());
        c.setReadOnly(true); show(c, "DELETE FROM j");
      }
    }
  }
}
