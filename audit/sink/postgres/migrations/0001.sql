-- The audit record. Everything belongs to audit_owner, who cannot log in.

CREATE TABLE pgcustos.positions (
	node     text        NOT NULL,
	stream   text        NOT NULL,
	sequence bigint      NOT NULL,
	since    timestamptz NOT NULL,  -- before it, nothing is left to deliver
	advanced bigint      NOT NULL,  -- orders the rows by when they were set
	PRIMARY KEY (node, stream)
);
CREATE SEQUENCE pgcustos.advances;

CREATE TABLE pgcustos.events (
	"time"           timestamptz NOT NULL,
	stream           text        NOT NULL,
	sequence         bigint      NOT NULL,
	node             text        NOT NULL,
	type             text        NOT NULL,
	session          text,
	account          text,
	upn              text,
	sid              text,
	guid             text,
	kind             text,
	source           inet,
	source_port      integer,
	method           text,
	rule             text,
	matched_group    text,
	backend          text,
	database         text,
	role             text,
	application_name text,          -- claimed by the client
	reason           text,          -- claimed by the client
	decision         text,
	incident         text,
	cause            text,
	detail           text,
	missing          text,
	command          text,
	class            text[],
	tags             text[],
	objects          text[],        -- schema.name
	text             text,
	text_raw         bytea,         -- where text cannot hold it: NUL, no UTF-8
	text_digest      text,          -- keyed
	text_length      bigint,        -- bytes; more than text has where that is the head only
	fingerprint      text,
	parameters       text[],        -- values of a Bind, NULL for NULL
	parameters_digest text,         -- HMAC-SHA256 of types, formats and values
	trace_id         text,          -- claimed by the client
	span_id          text,          -- claimed by the client
	transaction      bigint,
	statement        bigint,        -- of an outcome: the sequence of the statement
	result           text,
	fate             text,
	sqlstate         text,
	message          text,
	rows             bigint,
	bytes            bigint,
	duration         interval,
	copy_digest      text,          -- of an outcome: HMAC-SHA256 of what a COPY transferred
	record           jsonb       NOT NULL,
	PRIMARY KEY (stream, sequence, "time")
) PARTITION BY RANGE ("time");

CREATE INDEX events_outcome ON pgcustos.events (stream, statement) WHERE type = 'outcome';
CREATE INDEX events_session ON pgcustos.events (session, "time") WHERE type IN ('session.start', 'session.end');
CREATE INDEX events_account ON pgcustos.events (account, "time") WHERE type = 'statement';
CREATE INDEX events_trace ON pgcustos.events (trace_id) WHERE trace_id IS NOT NULL;
CREATE INDEX events_refused ON pgcustos.events ("time") WHERE decision IN ('denied', 'would_deny', 'refused');

-- claim locks the position of a stream for the transaction, and returns it.
CREATE FUNCTION pgcustos.claim(of_node text, of_stream text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	found_sequence bigint;
BEGIN
	INSERT INTO pgcustos.positions VALUES (of_node, of_stream, 0, '-infinity', 0) ON CONFLICT DO NOTHING;
	SELECT p.sequence INTO STRICT found_sequence FROM pgcustos.positions p
		WHERE p.node = of_node AND p.stream = of_stream FOR UPDATE;
	RETURN found_sequence;
END $$;

-- advance sets the position of a stream; it never goes back.
CREATE FUNCTION pgcustos.advance(of_node text, of_stream text, to_sequence bigint, to_since timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	UPDATE pgcustos.positions p
		SET sequence = to_sequence, since = to_since, advanced = nextval('pgcustos.advances')
		WHERE p.node = of_node AND p.stream = of_stream AND p.sequence < to_sequence;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'stream % of node % cannot be set to %', of_stream, of_node, to_sequence
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
END $$;

CREATE FUNCTION pgcustos.delivered(of_node text)
RETURNS TABLE (stream text, sequence bigint, since timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT p.stream, p.sequence, p.since FROM pgcustos.positions p
	WHERE p.node = of_node AND p.sequence > 0 ORDER BY p.advanced DESC
$$;

-- make_partition sees to it that there is a partition for a day, in UTC. The
-- table is attached, not created in place: that does not wait for readers.
CREATE FUNCTION pgcustos.make_partition(of_day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	name text := 'events_' || to_char(of_day, 'YYYYMMDD');
BEGIN
	IF of_day < DATE '1970-01-01' OR of_day > DATE '2300-01-01' THEN
		RAISE EXCEPTION 'no partition for %', of_day USING ERRCODE = 'invalid_parameter_value';
	END IF;
	PERFORM pg_advisory_xact_lock(hashtextextended('pgcustos.make_partition', 0));
	IF to_regclass('pgcustos.' || quote_ident(name)) IS NOT NULL THEN
		RETURN;
	END IF;
	EXECUTE format('CREATE TABLE pgcustos.%I (LIKE pgcustos.events INCLUDING ALL)', name);
	EXECUTE format('ALTER TABLE pgcustos.events ATTACH PARTITION pgcustos.%I FOR VALUES FROM (%L) TO (%L)', name,
		to_char(of_day, 'YYYY-MM-DD') || ' 00:00:00+00', to_char(of_day + 1, 'YYYY-MM-DD') || ' 00:00:00+00');
END $$;

-- version tells what the schema is, to those who may not read it.
CREATE FUNCTION pgcustos.version() RETURNS integer
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT max(version) FROM pgcustos.migrations
$$;

REVOKE ALL ON FUNCTION pgcustos.version() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgcustos.version() TO audit_writer, audit_reader;
REVOKE ALL ON FUNCTION pgcustos.claim(text, text), pgcustos.advance(text, text, bigint, timestamptz),
	pgcustos.delivered(text), pgcustos.make_partition(date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgcustos.claim(text, text), pgcustos.advance(text, text, bigint, timestamptz),
	pgcustos.delivered(text), pgcustos.make_partition(date) TO audit_writer;
GRANT USAGE ON SCHEMA pgcustos TO audit_writer, audit_reader;
GRANT INSERT ON pgcustos.events TO audit_writer;

CREATE VIEW pgcustos.logins AS
	SELECT "time", node, type, decision, COALESCE(account, record #>> '{claimed,user}') AS account, upn, sid, kind,
		source, method, rule, matched_group, backend, database, role, cause, detail, incident, session, record
	FROM pgcustos.events
	WHERE type IN ('authentication', 'authorization', 'session.start');

CREATE VIEW pgcustos.statements AS
	SELECT s."time", s.node, s.session, s.account, s.upn, s.sid, s.kind, s.source, s.application_name, s.reason,
		s.rule, s.backend, s.database, s.role, s.decision, s.incident, s.cause, s.missing, s.command, s.class, s.tags,
		s.objects, s.text, s.text_digest, s.text_length, s.parameters, s.parameters_digest, s.fingerprint, s.trace_id, s.span_id, s.transaction, o.result, o.sqlstate, o.message, o.rows, o.bytes, o.duration, o.copy_digest,
		o."time" AS ended, s.stream, s.sequence, s.record
	FROM pgcustos.events s
	LEFT JOIN pgcustos.events o ON o.stream = s.stream AND o.statement = s.sequence AND o.type = 'outcome'
	WHERE s.type = 'statement';

CREATE VIEW pgcustos.destructive AS SELECT * FROM pgcustos.statements WHERE 'destructive' = ANY (tags);
CREATE VIEW pgcustos.schema_changes AS SELECT * FROM pgcustos.statements WHERE 'ddl' = ANY (tags) OR 'DDL' = ANY (class);
CREATE VIEW pgcustos.privilege_changes AS
	SELECT * FROM pgcustos.statements WHERE 'privilege' = ANY (tags) OR 'ROLE' = ANY (class);

CREATE VIEW pgcustos.denied AS
	SELECT "time", node, type, decision, account, upn, source, database, role, rule, cause, missing, command, text, detail,
		incident, session, stream, sequence, record
	FROM pgcustos.events
	WHERE decision IN ('denied', 'would_deny', 'refused');

CREATE VIEW pgcustos.sessions AS
	SELECT s.session, s."time" AS started, e."time" AS ended, e.cause AS end_cause, s.node, s.account, s.upn, s.sid, s.kind,
		s.source, s.method, s.application_name, s.reason, s.rule, s.matched_group, s.backend, s.database, s.role, s.record
	FROM pgcustos.events s
	LEFT JOIN pgcustos.events e ON e.session = s.session AND e.type = 'session.end'
	WHERE s.type = 'session.start';

CREATE VIEW pgcustos.readings AS
	SELECT "time", node, record #>> '{reader,user}' AS reader, (record #>> '{reader,uid}')::bigint AS uid,
		record #>> '{reader,login}' AS login, (record #>> '{reader,pid}')::bigint AS pid, command,
		record #>> '{claimed,filter}' AS filter, cause, stream, sequence, record
	FROM pgcustos.events
	WHERE type = 'audit.read';

GRANT SELECT ON pgcustos.readings, pgcustos.logins, pgcustos.statements, pgcustos.destructive, pgcustos.schema_changes,
	pgcustos.privilege_changes, pgcustos.denied, pgcustos.sessions TO audit_reader;
