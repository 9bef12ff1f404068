<?php // PHP: the pgsql extension and PDO.
$c = pg_connect("dbname=" . getenv("PGDATABASE"));
function show($c, $sql, $args = []) {
    @pg_send_query_params($c, $sql, $args);
    while ($r = pg_get_result($c)) {
        $state = pg_result_error_field($r, PGSQL_DIAG_SQLSTATE);
        echo $state ? "$state " . pg_result_error_field($r, PGSQL_DIAG_MESSAGE_PRIMARY) : json_encode(pg_fetch_all($r) ?: []), "\n";
    }
}
show($c, "SELECT 1 AS a, 'x' AS b, NULL AS c");
show($c, 'SELECT $1::int + $2::int AS sum', [1, 2]);
pg_query($c, "SET client_min_messages = warning; DROP TABLE IF EXISTS ph; CREATE TABLE ph (id int PRIMARY KEY, t text)");
pg_prepare($c, "ins", 'INSERT INTO ph VALUES ($1, $2)');
for ($i = 0; $i < 100; $i++) pg_execute($c, "ins", [$i, "t"]);
show($c, "INSERT INTO ph VALUES (1)");
show($c, "SELECT 1/0");
echo json_encode(pg_copy_from($c, "ph", array_map(fn($i) => "$i\tc\n", range(1000, 1999)))), "\n";
echo count(pg_copy_to($c, "ph")), "\n";
pg_query($c, "LISTEN ch"); pg_query($c, "NOTIFY ch, 'x'");
$n = pg_get_notify($c, PGSQL_ASSOC);
echo $n["message"], $n["pid"] == pg_get_pid($c) ? " own " : " other ", $n["payload"], "\n";
echo pg_parameter_status($c, "server_version"), "\n";
$d = new PDO("pgsql:host=" . getenv("PGHOST") . ";port=" . getenv("PGPORT") . ";dbname=" . getenv("PGDATABASE") . ";sslmode=require", getenv("PGUSER"), getenv("PGPASSWORD"), [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
$s = $d->prepare("SELECT :a::int * 2 AS v");
foreach ([1, 2, 3] as $a) { $s->execute(["a" => $a]); echo $s->fetchColumn(), "\n"; }
try { $d->exec("INSERT INTO ph VALUES (1)"); } catch (PDOException $e) { echo $e->getCode(), "\n"; }
$d->beginTransaction(); $d->exec("DELETE FROM ph"); $d->rollBack();
echo $d->query("SELECT count(*) FROM ph")->fetchColumn(), "\n";
$d->pgsqlCopyFromArray("ph", ["5000\tz"]);
echo count($d->pgsqlCopyToArray("ph")), "\n";
