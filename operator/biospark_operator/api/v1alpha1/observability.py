"""`spec.monitoring` and `spec.logging`: metrics, alerts and logs of the environment."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from biospark_operator.api.v1alpha1.constraints import Text
from biospark_operator.api.v1alpha1.durations import Between
from biospark_operator.api.v1alpha1.formats import ObjectName
from biospark_operator.api.v1alpha1.model import Model, Rule
from biospark_operator.api.v1alpha1.quantities import Quantity

Retention = Annotated[
    str,
    Text(
        "write how long to keep data in hours, days or weeks, such as 30d",
        pattern="^[1-9][0-9]{0,4}[hdw]$",
        max_length=6,
    ),
]
StackVersion = Annotated[
    str,
    Text("write a version of three numbers such as 9.1.5", pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$", max_length=32),
]


class MonitoringProvider(StrEnum):
    """Who scrapes metrics."""

    NONE = "None"
    PROMETHEUS_OPERATOR = "PrometheusOperator"


class Prometheus(Model):
    """A Prometheus of the environment's own."""

    retention: Retention = Field(
        "30d", description="How long metrics are kept, in hours, days or weeks. Default `30d`."
    )
    storage: Quantity = Field("100Gi", description="Size of the volume. Default `100Gi`.")
    storage_class_name: ObjectName = Field("fast-ssd", description="Class of the volume. Default `fast-ssd`.")


class Monitoring(Model):
    """Metrics and alerts."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "prometheus",
            "choose provider PrometheusOperator, or remove prometheus",
            cel="!has(self.prometheus) || (has(self.provider) && self.provider == 'PrometheusOperator')",
            holds=lambda s: s.prometheus is None or s.provider is MonitoringProvider.PROMETHEUS_OPERATOR,
        ),
    )

    provider: MonitoringProvider = Field(
        MonitoringProvider.NONE,
        description="PrometheusOperator: a ServiceMonitor and a PrometheusRule are written. Default None.",
    )
    scrape_interval: Annotated[timedelta, Between("1s", "1h")] = Field(
        timedelta(seconds=30), description="How often metrics are read, `1s` to `1h`. Default `30s`."
    )
    alerts: bool = Field(True, description="Whether alerting rules are installed. Default true.")
    prometheus: Prometheus | None = Field(
        None, description="Present: an own Prometheus for this environment. Default: the cluster's."
    )


class LoggingProvider(StrEnum):
    """Who collects logs."""

    NONE = "None"
    ELASTIC = "Elastic"


class Elastic(Model):
    """Elasticsearch, Kibana and Filebeat of the environment's own."""

    version: StackVersion = Field(description="Version of the Elastic stack, such as `9.1.5`.")
    storage: Quantity = Field("100Gi", description="Size of the volume of Elasticsearch. Default `100Gi`.")
    storage_class_name: ObjectName = Field("fast-ssd", description="Class of the volume. Default `fast-ssd`.")
    retention: Retention = Field("30d", description="How long logs are kept, in hours, days or weeks. Default `30d`.")


class Logging(Model):
    """Collection of logs."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "elastic",
            "write elastic exactly when provider is Elastic: add elastic.version, or remove elastic, or change "
            "provider",
            cel="has(self.elastic) == (has(self.provider) && self.provider == 'Elastic')",
            holds=lambda s: (s.elastic is not None) == (s.provider is LoggingProvider.ELASTIC),
        ),
    )

    provider: LoggingProvider = Field(
        LoggingProvider.NONE,
        description="Elastic: Elasticsearch, Kibana and Filebeat by the resources of the ECK operator. Default None.",
    )
    elastic: Elastic | None = Field(
        None,
        description="Settings of the Elastic stack; required when provider is Elastic, refused otherwise.",
    )
