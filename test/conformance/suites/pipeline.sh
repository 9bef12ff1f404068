# libpq's own tests of pipelines. What travelled and what was printed is compared
# where it does not rest on how writes and reads fall together.
psql -qX -d "$DIRECT dbname=postgres" -c "DROP DATABASE IF EXISTS suite WITH (FORCE)" -c "CREATE DATABASE suite TEMPLATE template0" 2>/dev/null
for test in $("$WORK/libpq_pipeline" tests); do
	trace=(-t "$test.trace")
	case $test in pipelined_insert | uniqviol) trace=() ;; esac
	timeout 120 "$WORK/libpq_pipeline" -r 700 "${trace[@]}" "$test" dbname=suite >"$test.out" 2>&1 && status=0 || status=$?
	[ "$test" != uniqviol ] || : >"$test.out"
	echo "exit status $status" >>"$test.out"
done
