# docker build -t fraud_detection .
# docker run -p 5000:5000 -v fraud_data:/data fraud_detection
FROM python:3.11-slim-bookworm AS build
WORKDIR /app
COPY requirements.txt .
RUN python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.txt

FROM python:3.11-slim-bookworm
# pg_dump and pg_restore, for backups of an instance with PostgreSQL
RUN apt-get update \
 && apt-get install -y --no-install-recommends postgresql-client \
 && rm -rf /var/lib/apt/lists/*
# A number of its own, so that the owner of a mounted folder can be set beforehand.
RUN useradd --uid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin app \
 && install -d -o app -g app -m 0700 /data /backups
COPY --from=build /venv /venv
WORKDIR /app
COPY . .
RUN /venv/bin/python -m compileall -q app.py utils.py screening model
# All that the app writes is below /data: the root of the container may be read-only.
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    HOST=0.0.0.0 \
    PORT=5000 \
    INSTANCE_PATH=/data/instance \
    USERS_FILE=/data/users.txt
USER app
VOLUME /data
EXPOSE 5000
HEALTHCHECK --interval=30s --timeout=6s --start-period=60s --retries=3 \
  CMD ["python", "-c", "from os import environ as e; from urllib.request import Request as R, urlopen as u; u(R(f\"http://127.0.0.1:{e['PORT']}/readyz\", headers={'Host': e.get('TRUSTED_HOSTS', '').split(',')[0].strip() or '127.0.0.1'}), timeout=5)"]
CMD ["python", "app.py"]
