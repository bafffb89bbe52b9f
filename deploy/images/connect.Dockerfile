# Kafka Connect with Debezium's connector for MySQL, the same jars as the stack without a container engine.
FROM maven:3.9.16-eclipse-temurin-17 AS plugin
WORKDIR /build
COPY deploy/poms/debezium.xml pom.xml
RUN mvn --batch-mode --quiet dependency:copy-dependencies -DoutputDirectory=/plugins/debezium

FROM apache/kafka:4.2.2
COPY --from=plugin --chown=appuser:root /plugins /opt/plugins
