# Superset with the driver that speaks Druid's SQL, and what Superset imports without asking for it.
FROM apache/superset:6.1.0
USER 0
RUN uv pip install --python /app/.venv/bin/python pydruid==0.6.9 cachetools
USER 1000
