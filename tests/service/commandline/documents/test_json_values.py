from tests.support.documents import JSON, document, shouted


def test_keys_numbers_and_layout_stay_and_nested_values_are_translated() -> None:
    assert shouted(".json", JSON) == (
        '{\n  "title": "DAS „HAUS“",\n  "n": [1, 2.50, 1e400, null, true, "", "42"],\n'
        '  "deep": {"a": ["GOOD\\nMORNING", {"b": "GOOD \\"EVENING\\""}], "b": "BYE"}\n}\n'
    )


def test_only_what_is_below_the_chosen_keys_is_translated() -> None:
    data = b'{"a": "one", "b": {"c": "two", "a": ["three", {"d": "four"}]}, "e": ["five", "a"], "f": "six"}'
    assert document(".json", data, keys={"a"}).texts() == ["one", "three", "four"]
    assert document(".json", data, keys={"c", "e"}).texts() == ["two", "five", "a"]


def test_brackets_in_strings_are_no_structure() -> None:
    data = b'{"x]": "a } b", "k": {"y": "c"}, "z": "d"}'
    assert document(".json", data, keys={"k"}).texts() == ["c"]


def test_a_file_in_ascii_with_escapes_stays_ascii() -> None:
    read = document(".json", b'["caf\\u00e9", "tea"]')
    assert read.texts() == ["café", "tea"]
    assert read.with_translations(["Käse", "Tee"]) == b'["K\\u00e4se", "Tee"]'


def test_half_a_surrogate_pair_stays() -> None:
    assert shouted(".json", b'["a\\ud800", "b"]') == '["a\\ud800", "B"]'
