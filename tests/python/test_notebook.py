from __future__ import annotations

from typing import Any

import llmopt_stream as ls
import pandas
import pytest

MINUTE = ls.tumbling("1m")
RECORDS: list[Any] = [
    {"timestamp": "2026-01-01T00:00:01Z", "value": 1, "data": {"model": "a"}},
    {"timestamp": "2026-01-01T00:00:02Z", "value": None, "data": {"model": "b"}},
    {"timestamp": "2026-01-01T00:02:00Z", "value": 3, "data": {}},
]


def test_the_table_says_where_the_records_went() -> None:
    late = {"timestamp": "2026-01-01T00:00:03Z", "value": 4}
    table = ls.aggregate([*RECORDS, late], window=MINUTE, watermark="5s", aggregations="count")
    summary = table.summary
    assert summary is not None
    assert (summary.records_in, summary.aggregated, summary.late, summary.panes) == (4, 3, 1, len(table))
    assert summary.skipped_values == {"value": 1}
    assert summary.duration.total_seconds() > 0
    assert table.copy().summary is summary


def test_malformed_records_are_a_warning_with_their_kinds() -> None:
    with pytest.warns(
        ls.ProcessorWarning,
        match=r"^ls\.aggregate: 2 of 5 records were malformed \(1 not_an_object, 1 time_invalid\)$",
    ):
        table = ls.aggregate([*RECORDS, 5, {"timestamp": "noon"}], window=MINUTE)
    assert table.summary is not None
    assert table.summary.malformed_by_kind == {"not_an_object": 1, "time_invalid": 1}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"time": "ts"}, r"3 of 3 records were malformed \(3 time_missing\); no record has a field 'ts'"),
        ({"time": "value"}, r"3 of 3 records were malformed .*; is the path 'value' right\?"),
        ({"value": "valu"}, r"all 3 values of 'valu' were skipped: .*; no record has a field 'valu': is the"),
        ({"value": "data.model"}, r"all 3 values of 'data.model' .*; is the path 'data.model' right\?"),
        ({"key": "data.modl"}, r"the key 'data.modl' was null in every result; no record has a field"),
    ],
    ids=str,
)
def test_a_misspelt_path_is_a_warning(settings: dict[str, Any], message: str) -> None:
    records = [{**record, "value": "text"} for record in RECORDS] if "time" in settings else RECORDS
    with pytest.warns(ls.ProcessorWarning, match=f"^ls.aggregate: {message}"):
        ls.aggregate(records, window=MINUTE, **settings)


def test_a_dict_of_columns_is_refused_with_what_is_accepted() -> None:
    columns = {"timestamp": [record["timestamp"] for record in RECORDS], "value": [1, 2, 3]}
    with pytest.raises(
        ls.ConfigurationError, match=r"data: a dict is not a list of records; .* pandas\.DataFrame\(data\)"
    ):
        ls.aggregate(columns, window=MINUTE)
    with pytest.raises(ls.ConfigurationError, match="IterableSource: records: a dict is not a list"):
        ls.IterableSource(columns)
    assert len(ls.aggregate(pandas.DataFrame(columns), window=MINUTE)) == 2
