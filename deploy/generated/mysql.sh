quoted() { sed -e 's/\\/\\\\/g' -e "s/'/''/g"; }
docker_process_sql <<END
CREATE DATABASE IF NOT EXISTS inventory;
CREATE USER IF NOT EXISTS 'mainstem'@'%' IDENTIFIED BY '$(quoted < /run/secrets/mysql_password)';
GRANT ALL ON *.* TO 'mainstem'@'%';
CREATE USER IF NOT EXISTS 'debezium'@'%' IDENTIFIED BY '$(sed -n 's/^password=//p' /run/secrets/capture.properties | quoted)';
GRANT SELECT, RELOAD, LOCK TABLES, SHOW DATABASES, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'debezium'@'%';
END
