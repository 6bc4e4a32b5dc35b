"""Reading: how the text of input files is read. It travels with the batch, so that the results read the same rows."""

import msgspec


class Reading(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the text of input files is read.

    :param delimiter: What separates the cells of CSV files; None for a comma, and for a tab in `.tsv` files.
    :param encoding: Of text files; None for UTF-8.
    """

    delimiter: str | None = None
    encoding: str | None = None


#: Text of UTF-8, with the usual delimiters.
PLAIN = Reading()
