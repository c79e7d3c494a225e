# The server as a container: no build tools, no pip of its own, one user without rights, one volume.
#
#   docker build -t logserver .
#   docker run --rm --read-only -v logs:/data \
#       -p 127.0.0.1:9092:9092 -p 127.0.0.1:8080:8080 logserver
#
# Publish on 127.0.0.1 as above: nobody is asked for a password. The address that clients are told
# (advertised.listeners) is localhost:9092; behind another name say so after the image's name:
#   logserver serve --data-dir /data --listen 0.0.0.0:9092 --insecure \
#       --set advertised.listeners=PLAINTEXT://kafka.example:9092

ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY logserver logserver
COPY protocol protocol
RUN pip install --no-cache-dir --disable-pip-version-check --prefix=/install .

FROM python:${PYTHON}-slim AS server
COPY --from=build /install /usr/local
# A fixed number, so that files on a volume keep their owner whatever the image is rebuilt from.
RUN install -d -o 10001 -g 10001 -m 0750 /data
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
VOLUME /data
EXPOSE 9092 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s CMD ["python", "-c", \
    "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8080, timeout=2); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["logserver"]
CMD ["serve", "--data-dir", "/data", "--listen", "0.0.0.0:9092", "--http", "0.0.0.0:8080", \
    "--insecure", "--set", "advertised.listeners=PLAINTEXT://localhost:9092"]

# Telemetry of this host from many simulated devices, for compose.yaml: --target simulator.
FROM server AS simulator
WORKDIR /opt/logserver
COPY tools/telemetry tools/telemetry
HEALTHCHECK NONE
ENTRYPOINT ["python", "-m", "tools.telemetry"]
CMD ["--bootstrap", "localhost:9092"]

# The last stage is what a plain `docker build .` makes.
FROM server
