# DBD::Pg.
use strict;
use warnings;
use DBI;
use DBD::Pg ':async';
my $h = DBI->connect("dbi:Pg:dbname=$ENV{PGDATABASE}", undef, undef, {RaiseError => 1, PrintError => 0, AutoCommit => 1, PrintWarn => 0});
sub show {
	my ($sql, @args) = @_;
	my $r = eval { $h->selectall_arrayref($sql, undef, @args) };
	if ($@) { print $h->state, " ", (split /\n/, $h->errstr)[0], "\n"; return }
	print join(";", map { join ",", map { $_ // "NULL" } @$_ } @$r), "\n";
}
show("SELECT 1, 'x', NULL, ARRAY[1,2]::text");
show("SELECT ?::int + ?::int", 1, 2);
$h->do("SET client_min_messages = warning");
$h->do("DROP TABLE IF EXISTS d");
$h->do("CREATE TABLE d (id int PRIMARY KEY, t text)");
my $s = $h->prepare("INSERT INTO d VALUES (?, ?)");
$s->execute($_, "t") for 1 .. 100;
show("INSERT INTO d VALUES (1) RETURNING id");
show("SELECT 1/0");
$h->begin_work; $h->do("DELETE FROM d"); $h->rollback;
show("SELECT count(*) FROM d");
$h->do("COPY d FROM STDIN");
$h->pg_putcopydata("$_\tc\n") for 1000 .. 1999;
$h->pg_putcopyend;
$h->do("COPY d TO STDOUT");
my ($row, $n) = ("", 0);
$n++ while $h->pg_getcopydata($row) >= 0;
print "$n\n";
$h->do("LISTEN ch"); $h->do("NOTIFY ch, 'x'");
my $note = $h->pg_notifies;
print "$note->[0] ", ($note->[1] == $h->{pg_pid} ? "own" : "other"), " $note->[2]\n";
$h->begin_work;
my $oid = $h->pg_lo_creat($h->{pg_INV_WRITE} | $h->{pg_INV_READ});
my $fd = $h->pg_lo_open($oid, $h->{pg_INV_WRITE} | $h->{pg_INV_READ});
print $h->pg_lo_write($fd, "large" x 100, 500), "\n";
$h->pg_lo_close($fd); $h->pg_lo_unlink($oid);
$h->commit;
$h->do("SELECT pg_sleep(60)", {pg_async => PG_ASYNC});
print $h->pg_cancel, "\n";
show("SELECT 'alive'");
show("SELECT count(*) FROM pg_stat_activity WHERE pid = ?", $h->{pg_pid});
print scalar(grep { /\.d$/ || /"d"/ } $h->tables("", "public", "d", "TABLE")), "\n";
print join(",", map { $_->{COLUMN_NAME} } @{ $h->column_info("", "public", "d", "%")->fetchall_arrayref({}) }), "\n";
print join(",", $h->primary_key("", "public", "d")), " $h->{pg_server_version}\n";
$h->disconnect;
