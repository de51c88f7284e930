"""Law: a wrong or unknown setting stops the start, and is named."""

from pathlib import Path

import pytest

from service.app import allowed_hosts
from service.settings import Settings, SettingsError, load_settings, variable_name


def test_settings_have_defaults_without_any_environment(tmp_path: Path):
    assert load_settings({}, env_file=tmp_path / ".env") == Settings()


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path):
    file = tmp_path / ".env"
    file.write_text("KAKEHASHI_PORT=1\nKAKEHASHI_MAX_ROWS=2\nKAKEHASHI_WORKERS=3\nOTHER=4\n")
    environment = {"KAKEHASHI_PORT": "10", "KAKEHASHI_MAX_ROWS": "20"}
    settings = load_settings(environment, flags={"port": "100"}, env_file=file)
    assert (settings.port, settings.max_rows, settings.workers) == (100, 20, 3)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("port", "70000"),
        ("model", ""),
        ("model", " , "),
        ("port", "eighty"),
        ("workers", "0"),
        ("max_rows", "many"),
        ("device", "gpu"),
        ("compute_type", "int3"),
        ("isa", "mmx"),
        ("timeout_seconds", "-1"),
        ("timeout_seconds", "inf"),
        ("retry_linger_seconds", "nan"),
        ("log_level", "loud"),
        ("cors_origins", "example.org"),
        ("cors_origins", "https://example.org/"),
        ("cors_origins", "https://Example.org"),
        ("cors_origins", "https://a.example, https://b.example/path"),
        ("allowed_hosts", "localhost:8000"),
        ("allowed_hosts", "https://example.org"),
        ("allowed_hosts", "localhost, ::1"),
    ],
)
def test_a_wrong_value_is_named(field: str, value: str, tmp_path: Path):
    with pytest.raises(SettingsError, match=rf"{variable_name(field)}.*{value}"):
        load_settings({variable_name(field): value}, env_file=tmp_path / ".env")


def test_one_port_for_both_settings_names_both(tmp_path: Path):
    ports = {"KAKEHASHI_OPERATION_PORT": "8000"}
    with pytest.raises(SettingsError, match="KAKEHASHI_PORT and KAKEHASHI_OPERATION_PORT are both 8000"):
        load_settings(ports, env_file=tmp_path / ".env")
    assert load_settings(ports, flags={"port": "8001"}, env_file=tmp_path / ".env").operation_port == 8000


@pytest.mark.parametrize("in_file", [True, False])
def test_an_unknown_variable_is_named_with_what_may_be_meant(in_file: bool, tmp_path: Path):
    file = tmp_path / ".env"
    file.write_text("KAKEHASHI_PROT=1\n" if in_file else "")
    with pytest.raises(SettingsError, match=r"KAKEHASHI_PROT is not a setting; is KAKEHASHI_PORT meant"):
        load_settings({} if in_file else {"KAKEHASHI_PROT": "1"}, env_file=file)


@pytest.mark.parametrize(
    ("value", "origins"),
    [
        ("", []),
        ("*", ["*"]),
        (
            "https://a.example:8443, moz-extension://3f1c ,http://[::1]:3000",
            ["https://a.example:8443", "moz-extension://3f1c", "http://[::1]:3000"],
        ),
    ],
)
def test_origins_are_separated_by_commas(value: str, origins: list[str], tmp_path: Path):
    settings = load_settings({"KAKEHASHI_CORS_ORIGINS": value}, env_file=tmp_path / ".env")
    assert settings.cors_origin_list == origins


def test_no_key_is_shown_by_the_settings_that_hold_it(tmp_path: Path):
    settings = load_settings({"KAKEHASHI_API_KEYS": "alice:s3cret"}, env_file=tmp_path / ".env")
    assert settings.api_keys.get_secret_value() == "alice:s3cret"
    assert "s3cret" not in repr(settings) + str(settings.model_dump())


def test_a_wrong_compute_type_is_told_all_that_there_are(tmp_path: Path):
    with pytest.raises(SettingsError, match=r"'float32', 'bfloat16', 'float16', 'int8' or 'auto'$"):
        load_settings({"KAKEHASHI_COMPUTE_TYPE": "int3"}, env_file=tmp_path / ".env")


@pytest.mark.parametrize(
    ("settings", "hosts"),
    [
        ({}, ["localhost", "127.0.0.1", "[::1]", "127.0.0.1"]),
        ({"host": "0.0.0.0"}, None),
        ({"host": "0.0.0.0", "allowed_hosts": "Example.org, [::1]"}, ["example.org", "[::1]"]),
        ({"allowed_hosts": "*"}, None),
    ],
)
def test_a_server_on_a_loopback_address_answers_to_its_own_names(settings: dict[str, str], hosts: list[str] | None):
    assert allowed_hosts(Settings.model_validate(settings)) == hosts
