# Four images, of which the last one in this file is the usual one (docs/containers.md):
#   docker build -t fraud_detection .                              serves: pages, API, job workers
#   docker build --target training -t fraud_detection:training .   trains detectors and compiles nets, too
#   docker build --target batch -t fraud_detection:batch .         screens folders with Spark
#   docker build --target stream -t fraud_detection:stream .       screens a topic of Kafka
# Python, Java and PostgreSQL's client are Debian's, so that its updates bring all of them. A mirror's Debian 12 serves as
# well: --build-arg BASE=registry.bank.example/debian:bookworm-slim
ARG BASE=debian:bookworm-slim

# pg_dump and pg_restore, for backups of an instance with PostgreSQL: its package would bring Perl, 50 MB, for a wrapper
FROM ${BASE} AS postgresql
RUN apt-get update \
 && apt-get install -y --no-install-recommends postgresql-client-15

FROM ${BASE} AS base
# certificates are for webhooks, libpq5 for the programs below
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates libpq5 python3 \
 && rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/*.log
COPY --from=postgresql /usr/lib/postgresql/15/bin/pg_dump /usr/lib/postgresql/15/bin/pg_restore /usr/local/bin/
# A number of its own, so that the owner of a mounted folder can be set beforehand.
RUN useradd --uid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin app \
 && install -d -o app -g app -m 0700 /data /backups
# All that the app writes is below /data: the root of the container may be read-only.
ENV PATH=/venv/bin:$PATH \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOST=0.0.0.0 \
    PORT=5000 \
    INSTANCE_PATH=/data/instance \
    USERS_FILE=/data/users.txt
WORKDIR /app

# pip stays here: an environment that it fills from outside has none. Packages' own tests and C headers stay, too.
FROM base AS serving-parts
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3-pip
COPY requirements/serve.txt requirements/
RUN python3 -m venv --without-pip /venv \
 && pip --python /venv/bin/python install --no-cache-dir --require-hashes -r requirements/serve.txt \
 && find /venv/lib -depth -type d \( -name tests -o -path '*/pyarrow/include' \) -exec rm -rf {} +

FROM serving-parts AS training-parts
COPY requirements.txt .
RUN pip --python /venv/bin/python install --no-cache-dir --require-hashes -r requirements.txt \
 && find /venv/lib -depth -type d \( -name tests -o -path '*/pyarrow/include' \) -exec rm -rf {} +

FROM serving-parts AS batch-parts
COPY requirements/batch.txt requirements/
RUN pip --python /venv/bin/python install --no-cache-dir --require-hashes -r requirements/batch.txt \
 && find /venv/lib -depth -type d \( -name tests -o -path '*/pyarrow/include' \) -exec rm -rf {} +

FROM serving-parts AS stream-parts
COPY requirements/stream.txt requirements/
RUN pip --python /venv/bin/python install --no-cache-dir --require-hashes -r requirements/stream.txt

FROM base AS code
COPY . .
RUN python3 -m compileall -q --invalidation-mode unchecked-hash app.py utils.py screening model

FROM base AS batch
# Java's package wants the folder of manual pages, which a slim Debian hasn't
RUN mkdir -p /usr/share/man/man1 \
 && apt-get update \
 && apt-get install -y --no-install-recommends openjdk-17-jre-headless \
 && rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/*.log
COPY --from=batch-parts /venv /venv
COPY --from=code /app /app
USER app
VOLUME /data
CMD ["flask", "--app", "app", "batch", "--help"]

FROM base AS stream
COPY --from=stream-parts /venv /venv
COPY --from=code /app /app
USER app
VOLUME /data
CMD ["flask", "--app", "app", "stream"]

FROM base AS training
COPY --from=training-parts /venv /venv
COPY --from=code /app /app
USER app
VOLUME /data
CMD ["python", "app.py", "worker", "trainer"]

FROM base AS serving
COPY --from=serving-parts /venv /venv
COPY --from=code /app /app
USER app
VOLUME /data
EXPOSE 5000
HEALTHCHECK --interval=30s --timeout=6s --start-period=60s --retries=3 \
  CMD ["python", "-c", "from os import environ as e; from urllib.request import Request as R, urlopen as u; u(R(f\"http://127.0.0.1:{e['PORT']}/readyz\", headers={'Host': e.get('TRUSTED_HOSTS', '').split(',')[0].strip() or '127.0.0.1'}), timeout=5)"]
CMD ["python", "app.py"]
