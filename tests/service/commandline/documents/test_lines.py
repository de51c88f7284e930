from tests.support.documents import TSV, TXT, document, shouted


def test_lines_keep_white_space_and_what_has_no_letters() -> None:
    assert shouted(".txt", TXT) == "HELLO THERE.\n\n   INDENTED.\t\n12:30\nNO LINE BREAK AT THE END."


def test_a_line_stays_one_line_whatever_its_translation() -> None:
    assert document(".txt", b"a\nb\n").with_translations(["x\ny", "z"]) == b"x y\nz\n"


def test_line_breaks_of_two_kinds_stay() -> None:
    assert shouted(".txt", b"a\r\nb\nc\r\n") == "A\r\nB\nC\r\n"


def test_a_table_keeps_its_cells() -> None:
    assert shouted(".tsv", TSV) == 'ID\tTEXT\tOTHER\n1\tTHE CAT SLEEPS.\t\n\n2\t  A "DOG".  \t3.5\n'


def test_only_the_chosen_columns_of_a_table_are_translated() -> None:
    assert shouted(".tsv", TSV, columns={2}).startswith("id\tTEXT\tother\n1\tTHE CAT SLEEPS.\t\n")


def test_a_cell_stays_one_cell_whatever_its_translation() -> None:
    assert document(".tsv", b"a\tb\n").with_translations(["x\ty", "z\nz"]) == b"x y\tz z\n"
