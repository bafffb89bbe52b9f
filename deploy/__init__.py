"""The real stack of the distributed form: MySQL, Kafka, Connect with Debezium, ZooKeeper and Druid."""
