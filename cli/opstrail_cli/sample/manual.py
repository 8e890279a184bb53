"""The log entry of the OpsWorks manual, in its shape and with its mistake (PURE).

The manual's page "Logging API calls by using CloudTrail" prints two records of 2014. In the first
one, stray letters follow the eventVersion, so it is not JSON; the second one is sound. Where that
page is copied into an archive, one event and one dead letter come of it.
"""

from opstrail_cli.sample.callers import PRODUCTION, Caller
from opstrail_cli.sample.records import Event, Place, made_id

_STACK = made_id("stack of the manual")
_CREATED = made_id("CreateLayer of the manual")
_DESCRIBED = made_id("DescribeInstances of the manual")
_IDENTITY = {
    "accessKeyId": "AKIAIOSFODNN7EXAMPLE",
    "accountId": PRODUCTION,
    "arn": f"arn:aws:iam::{PRODUCTION}:user/A-User-Name",
    "principalId": "AKIAI44QH8DHBEXAMPLE",
    "type": "IAMUser",
    "userName": "A-User-Name",
}
_IDENTITY_TEXT = ", ".join(f'"{name}": "{value}"' for name, value in _IDENTITY.items())
_DESCRIBE_INSTANCES = {
    "awsRegion": "us-west-2",
    "eventID": _DESCRIBED,
    "eventName": "DescribeInstances",
    "eventSource": "opsworks.amazonaws.com",
    "eventTime": "2014-05-28T16:05:31Z",
    "eventVersion": "1.01",
}
_HEAD_TEXT = ", ".join(f'"{name}": "{value}"' for name, value in _DESCRIBE_INSTANCES.items())

MANUAL_ENTRY = f"""
      {{
    "Records": [
        {{
            "awsRegion": "us-west-2",
            "eventID": "{_CREATED}",
            "eventName": "CreateLayer",
            "eventSource": "opsworks.amazonaws.com",
            "eventTime": "2014-05-28T16:05:29Z",
            "eventVersion": "1.01"ed,
            "requestParameters": {{
                "attributes": {{}},
                "customRecipes": {{}},
                "name": "2014-05-28 16:05:29 +0000",
                "shortname": "custom-of-the-manual",
                "stackId": "{_STACK}",
                "type": "custom"
            }},
            "responseElements": null,
            "sourceIPAddress": "198.51.100.0",
            "userAgent": "aws-sdk-ruby/2.0.0 ruby/2.1 x86_64-linux",
            "userIdentity": {{{_IDENTITY_TEXT}}}
        }},
        {{
            {_HEAD_TEXT},
            "requestParameters": {{
                "instanceIds": ["{made_id("instance of the manual")}"]
            }},
            "responseElements": null,
            "sourceIPAddress": "198.51.100.0",
            "userAgent": "aws-sdk-ruby/2.0.0 ruby/2.1 x86_64-linux",
            "userIdentity": {{{_IDENTITY_TEXT}}}
        }}
    ]
}}
"""
# The record's promoted half; the file's text above is what is read.
MANUAL_EVENT = Event(
    Place(PRODUCTION, "us-west-2"),
    {**_DESCRIBE_INSTANCES, "userIdentity": _IDENTITY},
    Caller("iamUser", "longTerm", _IDENTITY),
)
