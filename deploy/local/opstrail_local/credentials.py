"""The credentials of the S3 + SQS stand-in (PURE). It takes any; clients insist on having some."""

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_DEFAULT_REGION": "us-east-1",
}
