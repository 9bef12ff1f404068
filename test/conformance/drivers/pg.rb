# ruby-pg: libpq from Ruby, its asynchronous API included.
require "pg"
c = PG.connect(dbname: ENV["PGDATABASE"])
def c.show(sql, args = nil)
  r = args ? exec_params(sql, args) : exec(sql)
  puts "#{r.cmd_status} #{r.values.inspect}"
rescue PG::Error => e
  puts "#{e.class} #{e.result && e.result.error_field(PG::PG_DIAG_SQLSTATE)} #{e.message.lines.first}"
end
c.show "SELECT 1, 'x', NULL"
c.show "SELECT $1::int + $2::int", [1, 2]
c.show "SET client_min_messages = warning; DROP TABLE IF EXISTS r; CREATE TABLE r (id int PRIMARY KEY, t text)"
c.prepare "ins", "INSERT INTO r VALUES ($1, $2)"
100.times { |i| c.exec_prepared "ins", [i, "t"] }
c.show "INSERT INTO r VALUES (1)"
c.show "SELECT 1/0"
p c.describe_prepared("ins").nparams
c.copy_data("COPY r FROM STDIN") { 1000.times { |i| c.put_copy_data "#{i + 1000}\tc\n" } }
n = 0
c.copy_data("COPY r TO STDOUT") { while c.get_copy_data; n += 1; end }
p n
c.transaction { |t| t.exec "INSERT INTO r VALUES (5000)" }
begin
  c.transaction { |t| t.exec "INSERT INTO r VALUES (5001)"; raise "undo" }
rescue RuntimeError => e
  puts e.message
end
c.show "SELECT count(*) FROM r WHERE id >= 5000"
c.send_query "SELECT generate_series(1, 1000)"
c.set_single_row_mode
rows = 0
while (r = c.get_result)
  rows += r.ntuples
end
p rows
c.exec "LISTEN ch"
c.exec "NOTIFY ch, 'x'"
c.wait_for_notify(10) { |ch, pid, x| p [ch, pid == c.backend_pid, x] }
p c.exec("SELECT pg_backend_pid()").getvalue(0, 0).to_i == c.backend_pid
c.send_query "SELECT pg_sleep(60)"
sleep 0.5
p c.cancel
begin
  while (r = c.get_result); r.check; end
rescue PG::Error => e
  puts e.class
end
c.transaction do
  oid = c.lo_creat
  fd = c.lo_open(oid, PG::INV_READ | PG::INV_WRITE)
  c.lo_write(fd, "large" * 100)
  c.lo_lseek(fd, 490, PG::SEEK_SET)
  p c.lo_read(fd, 100)
  c.lo_close(fd)
  c.lo_unlink(oid)
end
c.enter_pipeline_mode
10.times { |i| c.send_query_params "SELECT $1::int", [i] }
c.pipeline_sync
sum = 0
loop do
  r = c.get_result
  next if r.nil?
  break if r.result_status == PG::PGRES_PIPELINE_SYNC
  sum += r.getvalue(0, 0).to_i
end
c.exit_pipeline_mode
p sum
p c.parameter_status("server_version"), c.transaction_status
c.reset
c.show "SELECT 'after reset'"
c.close
