"""All settings, read once at the composition root: environment variables `KAKEHASHI_*`, a `.env` file, or flags.

A wrong value, or an unknown variable with the prefix, fails the start with an error that names it.
"""

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal, get_args

from dotenv import dotenv_values
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from model.checkpoint.bundled import BUNDLED_MODEL
from model.transformer.compute_types import ComputeTypeChoice, Isa
from service.observability.log import LogFormat, LogLevel

PREFIX = "KAKEHASHI_"

ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^\s/?#@A-Z]+")
"""An origin as browsers send it, in lower case and without a trailing slash; or `*`."""

HOST = re.compile(r"\*|\[[0-9A-Fa-f:.]+\]|[^\s/?#@:,\[\]]+")
"""A host as requests name it, without a port: a name, an IPv4 address or an IPv6 address in brackets; or `*`."""

Auto = Literal["auto"]
PositiveInt = Annotated[int, Field(ge=1)]


class SettingsError(Exception):
    """A setting that cannot be used; the message names its variable."""


def _are_origins(text: str) -> str:
    for origin in _split(text):
        if not ORIGIN.fullmatch(origin):
            raise ValueError(f"{origin!r} is not an origin: a scheme, a host and perhaps a port, without a path, or *")
    return text


def _are_hosts(text: str) -> str:
    for host in _split(text):
        if not HOST.fullmatch(host):
            raise ValueError(f"{host!r} is not a host: a name or an address, without a port, or *")
    return text


class Settings(BaseModel):
    """Limits are per request unless their description says otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: str = Field(
        str(BUNDLED_MODEL),
        pattern=r"[^\s,]",
        description="checkpoints, separated by commas: directories or hub ids (`org/name@revision`)",
    )
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on")
    api_keys: SecretStr = Field(
        SecretStr(""),
        description="`name:key` or `name:sha256:HEX`, perhaps with limits a minute as in "
        "`name:key requests=600 characters=1000000`; separated by commas. Without one of these keys there is no "
        "translation",
    )
    api_keys_file: str = Field(
        "",
        description="a file with the same, one entry a line; `#` begins a comment. It is read again when it changes",
    )
    cors_origins: Annotated[str, AfterValidator(_are_origins)] = Field(
        "",
        description="origins whose pages may use the API from a browser, separated by commas "
        "(`https://example.org`), or `*`",
    )
    allowed_hosts: Annotated[str, AfterValidator(_are_hosts)] = Field(
        "auto",
        pattern=r"[^\s,]",
        description="hosts that requests may name, without ports, separated by commas, or `*`; auto: `localhost`, "
        "`127.0.0.1`, `[::1]` and `HOST` if that is a loopback address, otherwise all",
    )
    operation_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="a second port for health, `/metrics`, `/docs` and `/openapi.json`; the latter three are then no "
        "longer at `PORT`. 0: none",
    )
    metrics: bool = Field(True, description="serve `/metrics`")
    docs: bool = Field(True, description="serve the description of the API, at `/docs` and `/openapi.json`")
    playground: bool = Field(True, description="serve the page to try translation with, at `/`")
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="`cpu`, `cuda`, `cuda:1`")
    compute_type: ComputeTypeChoice = Field(
        "auto",
        description="`float32`, `bfloat16`, `float16`, `int8`; auto: int8 on a CPU that our own kernels run on, else "
        "float32; float16 on CUDA, bfloat16 for T5 there; an unsupported one stops the start",
    )
    isa: Isa = Field("auto", description="instruction set of our own kernels; none switches them off")
    workers: Auto | PositiveInt = Field(
        "auto", description="worker processes; auto: one a core that this process may use, or one a visible GPU"
    )
    threads_per_worker: Auto | PositiveInt = Field(
        "auto", description="torch threads in a worker; auto: the cores shared out evenly"
    )
    max_rows: Auto | PositiveInt = Field(
        "auto",
        description="rows in the running batch of a worker; auto: up to 64 on a CPU, in 1 GiB of KV caches, and up to "
        "1,024 on a GPU",
    )
    gpu_memory_fraction: float = Field(
        0.8,
        gt=0,
        lt=1,
        description="share of a GPU's memory, as it is free after loading, for KV caches; several workers on one GPU "
        "divide it",
    )
    max_queue_tokens: PositiveInt = Field(
        100_000,
        description="limit of the work that waits in the whole server, in tokens that it is expected to generate over "
        "all rows of a beam; further requests are refused (429), unless nothing waits or their API key has not used "
        "its share, the limit divided by the number of keys with work. Also the most source tokens of a request (413)",
    )
    max_requests: PositiveInt = Field(
        1024,
        description="limit of requests in flight in the whole server; further requests are refused (429), unless "
        "their API key has not used its share",
    )
    max_encode_tokens: PositiveInt = Field(
        2048, description="source tokens a worker encodes between two decode steps, so that streams keep their pace"
    )
    max_bulk_wait_seconds: float = Field(
        5.0, ge=0, description="wait after which a `bulk` sentence goes before `interactive` ones"
    )
    max_text_characters: PositiveInt = Field(50_000, description="characters in all texts of a request together")
    max_texts: PositiveInt = Field(128, description="texts in a request")
    max_body_bytes: PositiveInt = Field(1 << 20, description="bytes in a request's body")
    max_head_bytes: PositiveInt = Field(
        128 << 10,
        description="bytes in a request's URL and headers together, and in chunk extensions or trailers of its body",
    )
    max_headers: PositiveInt = Field(100, description="headers of a request")
    arrival_seconds: float = Field(
        20.0, gt=0, allow_inf_nan=False, description="time for a request's head, and for a body before its pace counts"
    )
    min_body_bytes_per_second: PositiveInt = Field(
        1024, description="pace of a body; a body that takes longer is refused (408)"
    )
    max_connections: PositiveInt = Field(
        2048,
        description="connections to `PORT`, past which requests other than for health and metrics are refused (503)",
    )
    stall_seconds: float = Field(
        30.0,
        gt=0,
        allow_inf_nan=False,
        description="a client that reads nothing of its answer this long is disconnected",
    )
    max_answer_bytes: PositiveInt = Field(
        16 << 20, description="bytes of a plain answer, estimated before the work; larger ones are refused (413)"
    )
    max_new_tokens: PositiveInt = Field(256, description="tokens generated for a sentence, including the end token")
    timeout_seconds: float = Field(120.0, gt=0, description="longest time for a request")
    keep_alive_seconds: PositiveInt = Field(
        75, description="time an idle connection stays open; longer than a load balancer keeps its own, often 60"
    )
    retry_linger_seconds: float = Field(
        0.5,
        ge=0,
        description="how long a plain request goes on after its client hung up, so that a retry can join it; "
        "0 ends it at once",
    )
    max_load_seconds: float = Field(
        600.0,
        gt=0,
        allow_inf_nan=False,
        description="time that a worker has to load its checkpoints; a first start that takes longer ends the server",
    )
    worker_timeout_seconds: float = Field(
        10.0,
        gt=0,
        allow_inf_nan=False,
        description="silence after which a busy worker is killed and its work done elsewhere; more if the model has "
        "longer turns",
    )
    max_seconds_without_worker: float = Field(
        120.0,
        gt=0,
        allow_inf_nan=False,
        description="time without a ready worker, after the first start, after which `/health/live` answers 503, so "
        "that an orchestrator restarts the server",
    )
    default_source_lang: str = Field(
        "auto",
        min_length=1,
        description="source language of requests that cannot name one; auto: detected for each text",
    )
    default_target_lang: str = Field(
        "auto", min_length=1, description="target language of such requests; auto: the first that is not the source"
    )
    grace_seconds: float = Field(
        30.0,
        gt=0,
        description="time from SIGTERM to the end. Its last 4 s are for closing: with 4 or less, running requests fail "
        "at once",
    )
    cache_bytes: int = Field(
        128 << 20, ge=0, description="encoder outputs kept in the memory of the service process; 0: none"
    )
    cache_ttl_seconds: PositiveInt = Field(86_400, description="how long an encoder output is kept, here or in Redis")
    cache_min_tokens: PositiveInt = Field(1, description="source tokens from which an encoder output is kept here")
    redis_url: str = Field(
        "",
        description="Redis that shares encoder outputs: `redis://`, `rediss://`, `unix://`, "
        "`redis+sentinel://`, `redis+cluster://`; empty: none",
    )
    redis_timeout_milliseconds: float = Field(50.0, gt=0, description="longest time for a look-up in Redis")
    redis_min_tokens: PositiveInt = Field(16, description="source tokens from which an encoder output is kept in Redis")
    max_glossaries: PositiveInt = Field(
        100,
        description="glossaries kept for each key, or for all clients where no key is needed: in Redis, or without "
        "one in memory",
    )
    log_format: LogFormat = Field("auto", description="`text`, `json`; auto: text on a terminal")
    log_level: LogLevel = Field("info", description="`debug`, `info`, `warning`, `error`")
    access_log: bool = Field(True, description="a line in the log for each request; for health and metrics at `debug`")
    log_texts: bool = Field(False, description="log source texts, and the messages of errors in a request")

    @property
    def model_references(self) -> list[str]:
        return _split(self.model)

    @property
    def cors_origin_list(self) -> list[str]:
        return _split(self.cors_origins)

    @property
    def allowed_host_list(self) -> list[str]:
        """In lower case; or just `auto`."""
        return _split(self.allowed_hosts.lower())


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def variable_name(field: str) -> str:
    return PREFIX + field.upper()


def load_settings(
    environment: Mapping[str, str] = os.environ,
    *,
    flags: Mapping[str, str] | None = None,
    env_file: Path = Path(".env"),
) -> Settings:
    """Flags win over the environment, which wins over the file. Raises SettingsError naming the variable."""
    try:
        in_file = {name: value or "" for name, value in dotenv_values(env_file).items()}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{env_file}: cannot be read: {error}") from error
    given = {name: value for name, value in {**in_file, **environment}.items() if name.upper().startswith(PREFIX)}
    known = {variable_name(field): field for field in Settings.model_fields}
    values: dict[str, str] = {}
    for name, value in given.items():
        if name not in known:
            close = get_close_matches(name, known, n=1)
            raise SettingsError(f"{name} is not a setting" + (f"; is {close[0]} meant?" if close else ""))
        values[known[name]] = value
    try:
        settings = Settings.model_validate({**values, **(flags or {})})
    except ValidationError as error:
        raise SettingsError("; ".join(_describe(details) for details in _first_of_each_field(error))) from error
    if settings.port and settings.operation_port == settings.port:
        name, other = variable_name("port"), variable_name("operation_port")
        raise SettingsError(f"{name} and {other} are both {settings.port}: choose another port for one of them")
    return settings


def _first_of_each_field(error: ValidationError) -> list[Mapping[str, object]]:
    found: dict[object, Mapping[str, object]] = {}
    for details in error.errors():
        found.setdefault(details["loc"][0], dict(details))
    return list(found.values())


def _describe(details: Mapping[str, object]) -> str:
    location = details["loc"]
    assert isinstance(location, tuple)
    field = str(location[0])
    choices = get_args(Settings.model_fields[field].annotation)
    hint = " ('auto' or a whole number from 1)" if Auto in choices else ""
    return f"{variable_name(field)}: {details['input']!r} cannot be used: {details['msg']}{hint}"
