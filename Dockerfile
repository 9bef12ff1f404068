# The build needs cgo: the parser is PostgreSQL's own, in C. Both stages are
# Debian 12, so that the binary finds the C library that it was linked with.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=1 go build -trimpath -ldflags '-s -w' -o /pgcustos ./cmd/pgcustos \
 && install -d -m 0700 /state/journal

# Debian's slim image: the binary needs libc. It runs as a user without a name,
# a home or a way to become another.
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
COPY --from=build /pgcustos /usr/bin/pgcustos
COPY --from=build --chown=65532:65532 /state /var/lib/pgcustos
USER 65532:65532
EXPOSE 6432
VOLUME /var/lib/pgcustos
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/pgcustos"]
CMD ["serve", "--config", "/etc/pgcustos/pgcustos.yaml"]
