package telemetry

import (
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metrics are all metrics of a proxy, in a registry of their own. Times are in
// seconds and sizes in bytes.
type Metrics struct {
	registry *prometheus.Registry

	// Before authentication.
	PreAuth     prometheus.Gauge       // connections that have not authenticated yet
	Connections *prometheus.CounterVec // result: accepted, limited, malformed, timeout, …
	Cancels     *prometheus.CounterVec // result: forwarded, kept, unknown_key, throttled, own

	// Log-in.
	Authentications        *prometheus.CounterVec // result: success, failure; cause: auth.Cause
	AuthenticationSeconds  prometheus.Histogram
	Authorizations         *prometheus.CounterVec // result: allowed, denied
	BackendConnectSeconds  *prometheus.HistogramVec
	BackendConnectFailures *prometheus.CounterVec
	Signatures             *prometheus.CounterVec // backend

	// Catalogs.
	CatalogReads   *prometheus.CounterVec // backend; result: catalog.Result
	CatalogObjects *prometheus.GaugeVec   // backend, database
	CatalogBytes   *prometheus.GaugeVec   // backend, database
	CatalogUp      *prometheus.GaugeVec   // backend, database

	// Sessions.
	Sessions          *prometheus.GaugeVec   // backend, role
	SessionsEnded     *prometheus.CounterVec // cause: client_closed, revoked, …
	MemoryRefusals    *prometheus.CounterVec // what: connection, session
	SessionPanics     prometheus.Counter
	RevocationSeconds prometheus.Histogram // from the directory's change, or the reload, to the end of the session

	// Statements.
	Statements     *prometheus.CounterVec   // decision: audit.Decision
	Denials        *prometheus.CounterVec   // rule
	OutcomeSeconds *prometheus.HistogramVec // result: audit.Result
	RelayedBytes   *prometheus.CounterVec   // direction: to_backend, to_client

	// Journal.
	JournalRecords  prometheus.Counter
	JournalBytes    prometheus.Counter
	ArchivedBytes   *prometheus.CounterVec // form: plain, what segments had; stored, what is in their place
	ArchiveFailures prometheus.Counter
	RemovedBytes    prometheus.Counter
	Encrypted       prometheus.Counter
	Waiting         prometheus.Gauge // segments
	WaitingSeconds  prometheus.Gauge
	JournalRefusals *prometheus.CounterVec // cause: full, broken, budget

	// Sinks.
	SinkDelivered *prometheus.CounterVec // sink
	SinkFailures  *prometheus.CounterVec // sink

	// Operation.
	Reloads            *prometheus.CounterVec // result: success, failure
	ReloadTime         prometheus.Gauge       // Unix time of the last reload that succeeded
	ConfigInfo         *prometheus.GaugeVec   // hash
	CertificateExpires *prometheus.GaugeVec   // certificate: listen, …; Unix time
	DirectoryUp        prometheus.Gauge       // 1 while the last probe of the directory succeeded
	DomainUp           *prometheus.GaugeVec   // domain: those that are configured
}

// Buckets of the histograms, in seconds.
var (
	networkBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	outcomeBuckets = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60, 600, 3600}
)

// New makes the metrics, all of them registered.
func New() *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	m.makeLogin()
	m.makeSessions()
	m.makeOperation()
	info := m.gauges("pgcustos_build_info", "The version that runs, as a label; always 1.", "version")
	info.WithLabelValues(Version()).Set(1)
	return m
}

func (m *Metrics) makeLogin() {
	m.PreAuth = m.gauge("pgcustos_pre_auth_connections", "Connections that have not authenticated yet.")
	m.Connections = m.counters("pgcustos_connections_total", "Connections by what became of them before authentication.", "result")
	m.Cancels = m.counters("pgcustos_cancels_total", "Cancel requests by result.", "result")
	m.Authentications = m.counters("pgcustos_authentications_total", "Log-ins by result and exact cause.", "result", "cause")
	m.AuthenticationSeconds = m.histogram("pgcustos_authentication_seconds", "Time that the directory took for a log-in.", networkBuckets)
	m.Authorizations = m.counters("pgcustos_authorizations_total", "Authenticated clients by whether a rule gave them a session.", "result")
	m.BackendConnectSeconds = m.histograms("pgcustos_backend_connect_seconds", "Time of a log-in at the backend.", networkBuckets, "backend")
	m.BackendConnectFailures = m.counters("pgcustos_backend_connect_failures_total", "Log-ins at the backend that failed.", "backend")
	m.CatalogReads = m.counters("pgcustos_catalog_reads_total", "Readings of the catalogs behind names, by result.", "backend", "result")
	m.CatalogObjects = m.gauges("pgcustos_catalog_objects", "Relations and functions that are known of a database.", "backend", "database")
	m.CatalogBytes = m.gauges("pgcustos_catalog_bytes", "Size of what is known of a database, about.", "backend", "database")
	m.CatalogUp = m.gauges("pgcustos_catalog_up", "1 while the last reading of a database's catalog succeeded.", "backend", "database")
	m.Signatures = m.counters("pgcustos_backend_certificates_total", "Client certificates that were signed for log-ins at the backend.", "backend")
}

func (m *Metrics) makeSessions() {
	m.Sessions = m.gauges("pgcustos_sessions", "Live sessions.", "backend", "role")
	m.SessionsEnded = m.counters("pgcustos_sessions_ended_total", "Sessions that ended, by cause.", "cause")
	m.MemoryRefusals = m.counters("pgcustos_memory_refusals_total", "Connections that were turned away, and sessions that ended, because the memory's budget was used up.", "what")
	m.SessionPanics = m.counter("pgcustos_session_panics_total", "Sessions that ended by a fault of the proxy.")
	m.RevocationSeconds = m.histogram("pgcustos_revocation_seconds", "Time from a change of directory or rules to the end of a session that it ends.", networkBuckets)
	m.Statements = m.counters("pgcustos_statements_total", "Statements by decision.", "decision")
	m.Denials = m.counters("pgcustos_denials_total", "Denied statements by rule.", "rule")
	m.OutcomeSeconds = m.histograms("pgcustos_outcome_seconds", "Time from forwarding a statement to its outcome.", outcomeBuckets, "result")
	m.RelayedBytes = m.counters("pgcustos_relayed_bytes_total", "Bytes relayed in sessions.", "direction")
	m.JournalRecords = m.counter("pgcustos_journal_records_total", "Records written to the audit journal.")
	m.JournalBytes = m.counter("pgcustos_journal_bytes_total", "Bytes written to the audit journal.")
	m.JournalRefusals = m.counters("pgcustos_journal_refusals_total", "Records that the audit journal did not take, by cause.", "cause")
	m.ArchivedBytes = m.counters("pgcustos_journal_archived_bytes_total", "Bytes of sealed segments that were compressed: as they were (plain), and as they are (stored).", "form")
	m.ArchiveFailures = m.counter("pgcustos_journal_archive_failures_total", "Sealed segments that could not be compressed, encrypted or removed, and stay as they are.")
	m.RemovedBytes = m.counter("pgcustos_journal_removed_bytes_total", "Bytes of segments that retention removed.")
	m.Encrypted = m.counter("pgcustos_journal_encrypted_segments_total", "Sealed segments that only the auditors can read since.")
	m.Waiting = m.gauge("pgcustos_journal_unencrypted_segments", "Compressed segments that wait in clear because a sink has not taken them.")
	m.WaitingSeconds = m.gauge("pgcustos_journal_unencrypted_seconds", "How long ago the newest record was written of the segment that has waited longest in clear; 0 where none waits.")
	m.SinkDelivered = m.counters("pgcustos_sink_delivered_total", "Records that a sink has taken.", "sink")
	m.SinkFailures = m.counters("pgcustos_sink_failures_total", "Deliveries that a sink did not take; their records wait in the journal.", "sink")
}

func (m *Metrics) makeOperation() {
	m.Reloads = m.counters("pgcustos_reloads_total", "Reloads of the configuration by result.", "result")
	m.ReloadTime = m.gauge("pgcustos_reload_timestamp_seconds", "Unix time at which the running configuration was loaded.")
	m.ConfigInfo = m.gauges("pgcustos_config_info", "The running configuration's SHA-256, as a label; always 1.", "hash")
	m.CertificateExpires = m.gauges("pgcustos_certificate_expiry_timestamp_seconds", "Unix time at which a certificate expires.", "certificate")
	m.DirectoryUp = m.gauge("pgcustos_directory_up", "1 while the last probe of the directory succeeded, of all domains.")
	m.DomainUp = m.gauges("pgcustos_domain_up", "1 while the last probe of a domain's directory succeeded.", "domain")
	for _, result := range []string{"success", "failure"} {
		m.Reloads.WithLabelValues(result)
	}
}

// ParserStats are read when metrics are scraped; any of them may be nil.
type ParserStats struct {
	Hits, Masked, Misses, Deaths, CacheBytes, Waiting func() float64
}

// Parser adds the metrics of the statement reader.
func (m *Metrics) Parser(s ParserStats) {
	m.counterFunc("pgcustos_parser_cache_hits_total", "Texts that were judged before.", s.Hits)
	m.counterFunc("pgcustos_parser_cache_masked_hits_total", "Those of them that differ in literals or comments from the one that was judged.", s.Masked)
	m.counterFunc("pgcustos_parser_cache_misses_total", "Texts that went to a parser worker.", s.Misses)
	m.counterFunc("pgcustos_parser_deaths_total", "Parser workers that were lost to a text.", s.Deaths)
	if s.CacheBytes != nil {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "pgcustos_parser_cache_bytes", Help: "Size of the cache of judgements."}, s.CacheBytes))
	}
	if s.Waiting != nil {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "pgcustos_parser_waiting", Help: "Texts that wait for a parser worker."}, s.Waiting))
	}
}

// Journal adds what is read of the journal when metrics are scraped.
func (m *Metrics) Journal(scarce func() bool, signError func() error) {
	m.GaugeFunc("pgcustos_journal_scarce", "1 while so little disk is free that each account is held to a share of it.",
		func() float64 { return oneIf(scarce()) })
	m.GaugeFunc("pgcustos_journal_unsigned", "1 while checkpoints of the audit journal cannot be signed.",
		func() float64 { return oneIf(signError() != nil) })
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Spans adds what is read of tracing when metrics are scraped.
func (m *Metrics) Spans(sent, dropped func() uint64) {
	m.counterFunc("pgcustos_spans_sent_total", "Spans that the collector has taken.", func() float64 { return float64(sent()) })
	m.counterFunc("pgcustos_spans_dropped_total", "Spans that were lost because the collector was gone or slow.", func() float64 { return float64(dropped()) })
}

// SinkLag adds what is read of a sink when metrics are scraped.
func (m *Metrics) SinkLag(sink string, read func() (records uint64, age time.Duration)) {
	label := prometheus.Labels{"sink": sink}
	m.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "pgcustos_sink_lag_records", Help: "Records of this process that a sink has not taken yet.", ConstLabels: label,
		}, func() float64 { records, _ := read(); return float64(records) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "pgcustos_sink_lag_seconds", Help: "Age of the oldest record that a sink has not taken yet.", ConstLabels: label,
		}, func() float64 { _, age := read(); return age.Seconds() }),
	)
}

// GaugeFunc adds a gauge that is read when metrics are scraped.
func (m *Metrics) GaugeFunc(name, help string, read func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
}

// SetConfig names the running configuration.
func (m *Metrics) SetConfig(digest string) {
	m.ConfigInfo.Reset()
	m.ConfigInfo.WithLabelValues(digest).Set(1)
	m.ReloadTime.SetToCurrentTime()
}

// Version is the version of the main module, as the build recorded it.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	return info.Main.Version
}
