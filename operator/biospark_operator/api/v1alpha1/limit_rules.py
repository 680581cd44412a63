"""What each limit forbids, although the rules of the resource allow it.

`exceeded` says where a resource goes beyond the limits of the platform; admission asks it in every pass. Each rule has
the same condition in CEL, for the chart's admission policy (`limits_policy`). Both say the same words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from biospark_operator.api.v1alpha1.access import SubjectKind
from biospark_operator.api.v1alpha1.constraints import quoted
from biospark_operator.api.v1alpha1.database import SslMode
from biospark_operator.api.v1alpha1.limits import ISOLATION, POD_SECURITY, ROLES, SSL_MODES, Limits
from biospark_operator.api.v1alpha1.model import Model
from biospark_operator.api.v1alpha1.profiles import PROFILES
from biospark_operator.api.v1alpha1.quantities import parse_quantity
from biospark_operator.api.v1alpha1.spec import Spec
from biospark_operator.api.v1alpha1.validation import SpecIssue


@dataclass(frozen=True)
class Judged:
    """What a limit is held against."""

    spec: Spec
    limits: Limits
    operator_namespace: str

    @property
    def profile(self) -> str:
        """The profile as a key of limits."""
        return self.spec.profile.value.lower()

    def of_profile(self, limit: Model) -> Any:
        """The value of a limit that depends on the profile."""
        return getattr(limit, self.profile)


@dataclass(frozen=True)
class LimitRule:
    """One limit, as the operator sees it and as CEL."""

    field: str
    """Of the spec, in JSON form: what CEL names; the operator adds which entry of a list it is."""
    message: str
    """What to write instead. `{egress.forbidden}` stands for a limit, `{role.profile}` for that of the profile."""
    cel: str
    """Holds where the limit is kept."""
    looks_at: tuple[str, ...]
    """What the condition depends on, as CEL selections of the spec. Where an update leaves it as it was, the API
    server does not ask: what was stored before the limit must not get in the way of anything else, such as deletion.
    """
    exceeding: Callable[[Judged], Iterable[str]]
    """Where the limit is not kept: for each place what to add to `field`."""


def exceeded(spec: Spec, limits: Limits, operator_namespace: str) -> list[SpecIssue]:
    """Every place where a spec goes beyond the limits, with what to write instead."""
    judged = Judged(spec, limits, operator_namespace)
    return [
        SpecIssue(f"spec.{rule.field}{place}", _filled(rule.message, judged))
        for rule in RULES
        for place in rule.exceeding(judged)
    ]


_PLACE = re.compile(r"\{([A-Za-z.]+)}")


def _filled(message: str, judged: Judged) -> str:
    known = judged.limits.model_dump(mode="json", by_alias=True)

    def value(found: re.Match[str]) -> str:
        limit: Any = known
        for key in found[1].split("."):
            limit = limit[judged.profile if key == "profile" else key]
        return ", ".join(limit) or "none" if isinstance(limit, list) else str(limit)

    return _PLACE.sub(value, message)


def filled_by_cel(message: str) -> str:
    """The message as a CEL expression that fills it in as `_filled` does."""
    parts = _PLACE.split(message)
    return " + ".join(_cel_limit(part) if index % 2 else quoted(part) for index, part in enumerate(parts) if part)


def _cel_limit(path: str) -> str:
    limit = "variables." + path.replace(".profile", "[variables.profile]")
    if "profile" in path or path.startswith("quota."):
        return f"string({limit})"
    return f"({limit}.size() == 0 ? 'none' : {limit}.join(', '))"


def _weaker(order: tuple[str, ...], value: str, limit: str) -> bool:
    return order.index(value) < order.index(limit)


def _cel_no_weaker(order: tuple[str, ...], value: str, limit: str) -> str:
    ranks = "[" + ", ".join(quoted(str(item)) for item in order) + "]"
    return f"{ranks}.indexOf({value}) >= {ranks}.indexOf(string({limit}))"


def _matches(value: str, patterns: Iterable[str]) -> bool:
    return any(value.startswith(p[:-1]) if p.endswith("*") else value == p for p in patterns)


def _cel_matches(value: str, patterns: str) -> str:
    whole = f"string(p).endsWith('*') ? {value}.startsWith(string(p).substring(0, size(string(p)) - 1)) : {value} == p"
    return f"variables.{patterns}.exists(p, {whole})"


def _pod_security(judged: Judged) -> Iterator[str]:
    level = judged.spec.namespace.pod_security or PROFILES[judged.spec.profile].pod_security
    if _weaker(POD_SECURITY, level, judged.of_profile(judged.limits.pod_security)):
        yield ""


def _isolation(judged: Judged) -> Iterator[str]:
    if _weaker(ISOLATION, judged.spec.network.isolation, judged.of_profile(judged.limits.isolation)):
        yield ""


def _ssl_mode(judged: Judged) -> Iterator[str]:
    server = judged.spec.database.server
    if server is None:
        return
    mode = server.ssl_mode or (SslMode.VERIFY_FULL if server.ca_secret_ref else SslMode.REQUIRE)
    if _weaker(SSL_MODES, mode, judged.of_profile(judged.limits.ssl_mode)):
        yield ""


def _role(judged: Judged) -> Iterator[str]:
    for index, binding in enumerate(judged.spec.access.bindings):
        if _weaker(ROLES, binding.role, judged.of_profile(judged.limits.role)):
            yield f"[{index}].role"


def _labels(judged: Judged) -> Iterator[str]:
    if not all(_matches(key, judged.limits.namespace_labels) for key in judged.spec.namespace.labels):
        yield ""


def _subjects(judged: Judged) -> Iterator[str]:
    for index, binding in enumerate(judged.spec.access.bindings):
        for place, subject in enumerate(binding.subjects):
            known = subject.kind is SubjectKind.SERVICE_ACCOUNT
            if not known and _matches(subject.name, judged.limits.forbidden_subjects):
                yield f"[{index}].subjects[{place}].name"


def _service_accounts(judged: Judged) -> Iterator[str]:
    for index, binding in enumerate(judged.spec.access.bindings):
        for place, subject in enumerate(binding.subjects):
            namespace = subject.namespace or ""
            forbidden = _matches(namespace, judged.limits.forbidden_service_account_namespaces)
            if forbidden or namespace == judged.operator_namespace:
                yield f"[{index}].subjects[{place}].namespace"


def _ingress(judged: Judged) -> Iterator[str]:
    for index, source in enumerate(judged.spec.network.ingress):
        if not _matches(source.namespace, judged.limits.ingress_namespaces):
            yield f"[{index}].namespace"


def _inside(inner: str, outer: str) -> bool:
    """Whether a range lies in another one or is the same."""
    small, large = ip_network(inner), ip_network(outer)
    return small.version == large.version and small.prefixlen >= large.prefixlen and large.supernet_of(small)  # type: ignore[arg-type]


def _egress_allowed(judged: Judged) -> Iterator[str]:
    for index, target in enumerate(judged.spec.network.egress):
        if not any(_inside(target.cidr, allowed) for allowed in judged.limits.egress.allowed):
            yield f"[{index}].cidr"


def _egress_forbidden(judged: Judged) -> Iterator[str]:
    for index, target in enumerate(judged.spec.network.egress):
        if any(_reaches(target.cidr, target.except_, forbidden) for forbidden in judged.limits.egress.forbidden):
            yield f"[{index}].cidr"


def _reaches(cidr: str, left_out: Iterable[str], forbidden: str) -> bool:
    """Whether a range holds an address of a forbidden one. Of two ranges one holds the other, or they are apart."""
    if _inside(cidr, forbidden):
        return True
    return _inside(forbidden, cidr) and not any(_inside(forbidden, hole) for hole in left_out)


def _image(judged: Judged) -> Iterator[str]:
    image = judged.spec.api.image
    if image is not None and not _matches(image, judged.limits.images):
        yield ""


_QUOTED = "variables.spec.?namespace.?quota"


def _quota_rule(key: str) -> LimitRule:
    def exceeding(judged: Judged) -> Iterator[str]:
        wanted, default = judged.spec.namespace.quota, PROFILES[judged.spec.profile].quota
        amount = getattr(wanted, key) or getattr(default, key)
        if parse_quantity(str(amount)) > parse_quantity(str(getattr(judged.limits.quota, key))):
            yield ""

    amount = f"quantity(string({_QUOTED}.?{key}.orValue(variables.defaults.quota.{key})))"
    return LimitRule(
        f"namespace.quota.{key}",
        f"write at most {{quota.{key}}}, as platform.limits.quota.{key} has it",
        cel=f"{amount}.compareTo(quantity(string(variables.quota.{key}))) <= 0",
        looks_at=("?profile", f"?namespace.?quota.?{key}"),
        exceeding=exceeding,
    )


_BINDINGS = "variables.spec.?access.?bindings.orValue([])"
_EGRESS = "variables.spec.?network.?egress.orValue([])"
_OF_PROFILE = "[variables.profile]"

RULES: tuple[LimitRule, ...] = (
    LimitRule(
        "namespace.podSecurity",
        "write {podSecurity.profile} or a stricter level; platform.limits.podSecurity allows nothing weaker in this "
        "profile",
        cel=_cel_no_weaker(
            POD_SECURITY,
            "string(variables.spec.?namespace.?podSecurity.orValue(variables.defaults.podSecurity))",
            f"variables.podSecurity{_OF_PROFILE}",
        ),
        looks_at=("?profile", "?namespace.?podSecurity"),
        exceeding=_pod_security,
    ),
    LimitRule(
        "namespace.labels",
        "keep only labels with these keys: {namespaceLabels}; platform.limits.namespaceLabels allows no others",
        cel=f"variables.spec.?namespace.?labels.orValue({{}}).all(k, {_cel_matches('k', 'namespaceLabels')})",
        looks_at=("?namespace.?labels",),
        exceeding=_labels,
    ),
    *(_quota_rule(key) for key in ("cpu", "memory", "pods", "storage")),
    LimitRule(
        "access.bindings",
        "bind {role.profile} or a role with fewer rights; platform.limits.role allows nothing more powerful in this "
        "profile",
        cel=f"{_BINDINGS}.all(b, {_cel_no_weaker(ROLES, 'b.role', f'variables.role{_OF_PROFILE}')})",
        looks_at=("?profile", "?access"),
        exceeding=_role,
    ),
    LimitRule(
        "access.bindings",
        "name users and groups of your own: platform.limits.forbiddenSubjects forbids {forbiddenSubjects}",
        cel=f"{_BINDINGS}.all(b, b.subjects.all(s, s.kind == 'ServiceAccount' || "
        f"!{_cel_matches('s.name', 'forbiddenSubjects')}))",
        looks_at=("?access",),
        exceeding=_subjects,
    ),
    LimitRule(
        "access.bindings",
        "name service accounts of other namespaces: that of the operator is forbidden, and by "
        "platform.limits.forbiddenServiceAccountNamespaces {forbiddenServiceAccountNamespaces}",
        cel=f"{_BINDINGS}.all(b, b.subjects.all(s, s.kind != 'ServiceAccount' || "
        "(s.?namespace.orValue('') != variables.operatorNamespace && "
        f"!{_cel_matches('''s.?namespace.orValue('')''', 'forbiddenServiceAccountNamespaces')})))",
        looks_at=("?access",),
        exceeding=_service_accounts,
    ),
    LimitRule(
        "network.isolation",
        "write {isolation.profile}; platform.limits.isolation allows nothing weaker in this profile",
        cel=_cel_no_weaker(
            ISOLATION,
            "string(variables.spec.?network.?isolation.orValue('Enforced'))",
            f"variables.isolation{_OF_PROFILE}",
        ),
        looks_at=("?profile", "?network.?isolation"),
        exceeding=_isolation,
    ),
    LimitRule(
        "network.ingress",
        "let in only pods of these namespaces: {ingressNamespaces}; platform.limits.ingressNamespaces allows no others",
        cel=f"variables.spec.?network.?ingress.orValue([]).all(s, {_cel_matches('s.namespace', 'ingressNamespaces')})",
        looks_at=("?network.?ingress",),
        exceeding=_ingress,
    ),
    LimitRule(
        "network.egress",
        "write ranges inside one of these: {egress.allowed}; platform.limits.egress.allowed allows no others",
        cel=f"{_EGRESS}.all(t, variables.egress.allowed.exists(a, cidr(string(a)).containsCIDR(t.cidr)))",
        looks_at=("?network.?egress",),
        exceeding=_egress_allowed,
    ),
    LimitRule(
        "network.egress",
        "write ranges without the addresses that platform.limits.egress.forbidden names, or put into except which "
        "of these they hold: {egress.forbidden}",
        cel=f"{_EGRESS}.all(t, variables.egress.forbidden.all(f, "
        "!cidr(string(f)).containsCIDR(t.cidr) && (!cidr(t.cidr).containsCIDR(string(f)) || "
        "t.?except.orValue([]).exists(e, cidr(e).containsCIDR(string(f))))))",
        looks_at=("?network.?egress",),
        exceeding=_egress_forbidden,
    ),
    LimitRule(
        "database.server.sslMode",
        "write {sslMode.profile} or a mode that protects more, with caSecretRef where it verifies; "
        "platform.limits.sslMode allows nothing weaker in this profile",
        cel="!variables.spec.?database.?server.hasValue() || "
        + _cel_no_weaker(
            SSL_MODES,
            "string(variables.spec.database.server.?sslMode.orValue("
            "has(variables.spec.database.server.caSecretRef) ? 'VerifyFull' : 'Require'))",
            f"variables.sslMode{_OF_PROFILE}",
        ),
        looks_at=("?profile", "?database.?server"),
        exceeding=_ssl_mode,
    ),
    LimitRule(
        "api.image",
        "write one of these images: {images}; platform.limits.images allows no others",
        cel=f"!variables.spec.?api.?image.hasValue() || {_cel_matches('variables.spec.api.image', 'images')}",
        looks_at=("?api.?image",),
        exceeding=_image,
    ),
)
"""All limits, in the order of the spec."""
