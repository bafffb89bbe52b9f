"""The words of a search."""

from mainstem.words import asked_words, telling_first


def test_what_few_texts_have_comes_first() -> None:
    """An engine reads less of the frequent ones then."""
    whole, _ = asked_words("Shop an invoice 00123 A7")
    assert telling_first(whole) == ["zz00123", "zza7", "zzinvoice", "zzshop", "zzan"]
