# A broad script for each driver; what it prints, and how it ends, is compared.
psql -qX -d "$DIRECT dbname=postgres" -c "DROP DATABASE IF EXISTS suite WITH (FORCE)" -c "CREATE DATABASE suite TEMPLATE template0" 2>/dev/null
export NODE_NO_WARNINGS=1 NODE_PATH=$WORK/node_modules CLASSPATH=/usr/share/java/postgresql.jar
for script in "$DRIVERS"/*; do
	case $script in
	*.py) run=/usr/bin/python3 ;;
	*.rb) run=ruby ;;
	*.pl) run=perl ;;
	*.php) run=php ;;
	*.js) run=node ;;
	*.java) run=java ;;
	esac
	out=$(basename "$script").out
	timeout 180 $run "$script" >"$out" 2>&1 && status=0 || status=$?
	echo "exit status $status" >>"$out"
	[ $status = 0 ] || { echo "$script fails, exit status $status:"; tail -5 "$out"; }
done
