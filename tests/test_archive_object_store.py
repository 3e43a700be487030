"""The archive in an object store: a local S3 server."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3  # type: ignore[import-untyped]  # it ships no types
import polars as pl
import pytest
from deltalake import DeltaTable
from polars.testing import assert_frame_equal
from snapshots import at, result

import bookings_analytics as ba
from bookings_analytics import schema
from bookings_analytics.archive import Archive
from bookings_analytics.archive.changes import Added

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Bucket(NamedTuple):
    client: Any
    options: dict[str, str]

    def keys(self, prefix: str) -> list[str]:
        return [each["Key"] for each in self.client.list_objects_v2(Bucket="gym", Prefix=prefix)["Contents"]]


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    """A bucket of a server in a process of its own: Delta Lake keeps Python waiting while it waits for an answer."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        options = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "an-id",
            "AWS_SECRET_ACCESS_KEY": "a-secret",
        }
        client = boto3.client(
            "s3",
            endpoint_url=options["AWS_ENDPOINT_URL"],
            region_name=options["AWS_REGION"],
            aws_access_key_id=options["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=options["AWS_SECRET_ACCESS_KEY"],
        )
        client.create_bucket(Bucket="gym")
        yield Bucket(client, options)
        server.terminate()


def test_an_archive_in_an_object_store_is_like_one_in_a_directory(bucket: Bucket, tmp_path: Path) -> None:
    stored = Archive("s3://gym/archive/", storage_options=bucket.options)
    local = Archive(tmp_path)
    for day in range(4):
        status = ("WAITING_LIST", "BOOKED")[day % 2]
        fetched = result(at(day), {1415926535: {10: status, 11: "BOOKED"}, 2: {20 + day: "BOOKED"}, 3: "failed"})
        assert stored.add(fetched) == local.add(fetched)
    assert stored.add(fetched) == Added(skipped=3)
    stored.compact()
    opened = Archive("s3://gym/archive", storage_options=bucket.options)
    assert_frame_equal(opened.history().collect(), local.history().collect())
    assert_frame_equal(opened.bookings(at(1)).collect(), local.bookings(at(1)).collect())
    assert_frame_equal(opened.latest_fetches().collect(), local.latest_fetches().collect())
    assert "a-secret" not in repr(stored) + stored._repr_html_()
    check = opened.check()
    assert (check.problems, check.n_files, check.n_without_checksum) == ((), 4, 4), "the store verifies its own objects"
    assert all(path.startswith("s3://gym/archive/table=") for path in opened.files("observations"))

    slot = dict.fromkeys(schema.SLOTS.names()) | {
        "studio": "mitte",
        "class_id": 1,
        "class_slot_id": 1,
        "observed_at": at(0),
    }
    opened.add_classes(schema.CLASSES.to_frame(), pl.DataFrame([slot], schema=schema.SLOTS))
    planted = BytesIO()
    pl.DataFrame({"class_slot_id": [1], "customer_id": [1415926535]}).write_parquet(planted)
    bucket.client.put_object(Bucket="gym", Key="archive/table=slots/part-0.parquet", Body=planted.getvalue())
    n_rows = opened.history().filter(customer_id=1415926535).collect().height
    receipts = [archive.forget([1415926535]) for archive in (opened, local)]
    assert receipts[0].hits_before > n_rows + 4, "the observations, the fetches, the latest ones, what was planted"
    assert [receipt.hits_after for receipt in receipts] == [0, 0]
    assert "versions of objects" in receipts[0].not_promised
    assert_frame_equal(opened.history().collect(), local.history().collect())
    keys = bucket.keys("archive/")
    assert receipts[0].files == len(keys) > 0
    for key in keys:
        content = bucket.client.get_object(Bucket="gym", Key=key)["Body"].read()
        assert b"1415926535" not in content
        assert (1415926535).to_bytes(8, "little") not in content
        if key.endswith(".parquet"):
            assert "1415926535" not in str(pl.read_parquet(content).rows()), "nor where only differences are stored"


def test_an_id_that_hides_in_an_object_store_is_found_and_removed(bucket: Bucket) -> None:
    gone = 14_925_548
    archive = Archive("s3://gym/hiding", storage_options=bucket.options)
    archive.add(result(at(0), {gone: {10: "BOOKED", 11: "BOOKED"}, 2: {20: "BOOKED"}}))
    plain = archive.forget([gone], dry_run=True).hits_before
    table = DeltaTable("s3://gym/hiding", storage_options=bucket.options)
    table.alter.set_table_properties({"delta.dataSkippingStatsColumns": "customer_id,add_number"})
    archive.add(result(at(1), {gone: {10: "CANCELED"}}))
    table.update_incremental()
    table.delete(f"customer_id = {gone} AND booking_id = 11")
    table.create_checkpoint()
    unfinished = {
        "table=fetches/bucket=0/part-9.parquet": gone.to_bytes(8, "little"),
        "_delta_log/_commit_1.json.tmp": f"customer_id = {gone}".encode(),
    }
    for name, content in unfinished.items():
        bucket.client.put_object(Bucket="gym", Key=f"hiding/{name}", Body=content)
    receipt = archive.forget([gone])
    assert receipt.hits_before > plain + 4, "statistics, the checkpoint, the predicate, the unfinished file"
    assert receipt.hits_after == 0
    for key in bucket.keys("hiding/"):
        content = bucket.client.get_object(Bucket="gym", Key=key)["Body"].read()
        assert str(gone).encode() not in content, key
        assert gone.to_bytes(8, "little") not in content, key
        if key.endswith(".parquet"):
            assert str(gone) not in pl.read_parquet(BytesIO(content)).write_json(), key
    assert archive.fetches().collect()["customer_id"].to_list() == [2]


def test_two_writers_to_an_object_store_lose_nothing(bucket: Bucket) -> None:
    def add(customer_id: int) -> None:
        archive = Archive("s3://gym/shared", storage_options=bucket.options)
        for day in range(6):
            archive.add(result(at(day), {customer_id: {customer_id * 10 + day: "BOOKED"}}))

    with ThreadPoolExecutor() as pool:
        list(pool.map(add, (1, 2)))
    archive = Archive("s3://gym/shared", storage_options=bucket.options)
    assert archive.fetches().collect()["fetched_at"].to_list() == [at(day) for day in range(6)] * 2
    assert archive.history().collect()["visible"].sum() == 12


@pytest.mark.parametrize("content", [b"customer_id", b"\xff\xfe\x00PAR1"])
def test_other_objects_below_the_url_are_refused_and_left_alone(bucket: Bucket, content: bytes) -> None:
    bucket.client.put_object(Bucket="gym", Key="other/x/members", Body=content)
    with pytest.raises(ba.ArchiveError, match="s3://gym/other holds something other than an archive"):
        Archive("s3://gym/other", storage_options=bucket.options)
    assert bucket.keys("other/") == ["other/x/members"]


def test_an_object_store_that_cannot_be_reached_is_named(bucket: Bucket) -> None:
    options = bucket.options | {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "max_retries": "0", "timeout": "1s"}
    with pytest.raises(ba.ArchiveError, match=r"s3://gym/archive can't be opened: .*storage_options=") as caught:
        Archive("s3://gym/archive", storage_options=options)
    assert "a-secret" not in str(caught.value)


def test_classes_are_kept_in_an_object_store_and_upkeep_leaves_them_alone(bucket: Bucket) -> None:
    archive = Archive("s3://gym/classes", storage_options=bucket.options)
    columns = {"studio": "mitte", "class_id": 1, "title": ["Yoga"], "bookable": True, "observed_at": at(0)}
    slots = {"studio": "mitte", "class_id": 1, "class_slot_id": [1], "starts_at": at(2), "observed_at": at(0)}
    look = [
        pl.DataFrame({**dict.fromkeys(kind, None), **rows}, schema=kind)
        for kind, rows in ((schema.CLASSES, columns), (schema.SLOTS, slots))
    ]
    archive.add_classes(*look)
    archive.add(result(at(1), {7: {1: "BOOKED"}}))
    archive.compact()
    archive.forget([7])
    again = Archive("s3://gym/classes/", storage_options=bucket.options)
    assert again.titles() == {1: "Yoga"}
    assert again.slots().collect()["starts_at"].to_list() == [at(2)]
    assert again.history().collect().is_empty()
