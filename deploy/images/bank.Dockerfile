# The bank and mainstem: built with what is locked, run without tools, by a user without rights.
FROM python:3.11.16-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/mainstem
WORKDIR /build
COPY requirements/run.lock requirements/run.lock
RUN /opt/mainstem/bin/pip install --require-hashes -r requirements/run.lock
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /opt/mainstem/bin/pip install --no-deps --no-build-isolation . \
    && /opt/mainstem/bin/pip uninstall --yes hatchling editables pip

FROM python:3.11.16-slim-bookworm
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin mainstem \
    && install --directory --owner=10001 --group=10001 /var/lib/mainstem/archive
COPY --from=build /opt/mainstem /opt/mainstem
ENV PATH=/opt/mainstem/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /tmp
EXPOSE 8080
ENTRYPOINT ["mainstem"]
CMD ["run"]
