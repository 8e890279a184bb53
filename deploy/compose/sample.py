"""Make the bucket `trail` that notifies the queue `trail`, and put the sample archive into it.

Run by the service `sample` of compose.yaml. Run again it puts the same files again, which are found
to be done already.
"""

import os
import tempfile
from pathlib import Path

import boto3

from opstrail_cli.sample.archive import archive
from opstrail_cli.sample.folder import write

BUCKET = QUEUE = "trail"


def main() -> None:
    """Make them and say how many files were put."""
    s3 = boto3.client("s3", endpoint_url=os.environ["OPSTRAIL_S3__ENDPOINT_URL"])
    sqs = boto3.client("sqs", endpoint_url=os.environ["OPSTRAIL_SQS__ENDPOINT_URL"])
    s3.create_bucket(Bucket=BUCKET)
    queue_url = sqs.create_queue(QueueName=QUEUE)["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])
    s3.put_bucket_notification_configuration(
        Bucket=BUCKET,
        NotificationConfiguration={
            "QueueConfigurations": [
                {
                    "QueueArn": attributes["Attributes"]["QueueArn"],
                    "Events": ["s3:ObjectCreated:*"],
                }
            ]
        },
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder, _ = write(archive(), Path(temporary))
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        for path in files:
            s3.upload_file(str(path), BUCKET, str(path.relative_to(folder)))
    print(f"{len(files)} files are in {BUCKET}; {queue_url} tells of them")


if __name__ == "__main__":
    main()
