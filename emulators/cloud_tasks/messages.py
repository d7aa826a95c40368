"""The service's messages: the protobuf classes that Google's own client sends and reads, without their wrappers.

They are data and nothing else: the engine keeps its rules over them, the fronts carry them as they are.
The wrappers of proto-plus take most of the client's time, so only the classes beneath them are used.
"""

from typing import Any

from google.cloud.location import locations_pb2
from google.cloud.tasks_v2.types import cloudtasks, cmek_config, queue, target, task
from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.longrunning import operations_pb2
from google.protobuf import duration_pb2, empty_pb2, timestamp_pb2
from google.rpc import error_details_pb2, status_pb2

Duration: Any = duration_pb2.Duration
Empty: Any = empty_pb2.Empty
Timestamp: Any = timestamp_pb2.Timestamp
Status: Any = status_pb2.Status
Help: Any = error_details_pb2.Help
ErrorInfo: Any = error_details_pb2.ErrorInfo
LocalizedMessage: Any = error_details_pb2.LocalizedMessage
Operation: Any = operations_pb2.Operation
GetOperationRequest: Any = operations_pb2.GetOperationRequest
Policy: Any = policy_pb2.Policy
GetIamPolicyRequest: Any = iam_policy_pb2.GetIamPolicyRequest
SetIamPolicyRequest: Any = iam_policy_pb2.SetIamPolicyRequest
TestIamPermissionsRequest: Any = iam_policy_pb2.TestIamPermissionsRequest
TestIamPermissionsResponse: Any = iam_policy_pb2.TestIamPermissionsResponse
Location: Any = locations_pb2.Location
GetLocationRequest: Any = locations_pb2.GetLocationRequest
ListLocationsRequest: Any = locations_pb2.ListLocationsRequest
ListLocationsResponse: Any = locations_pb2.ListLocationsResponse

Queue: Any = queue.Queue.pb()
RetryConfig: Any = queue.RetryConfig.pb()
Task: Any = task.Task.pb()
Attempt: Any = task.Attempt.pb()
HttpTarget: Any = target.HttpTarget.pb()
HttpRequest: Any = target.HttpRequest.pb()
UriOverride: Any = target.UriOverride.pb()
AppEngineRouting: Any = target.AppEngineRouting.pb()
CmekConfig: Any = cmek_config.CmekConfig.pb()

ListQueuesRequest: Any = cloudtasks.ListQueuesRequest.pb()
ListQueuesResponse: Any = cloudtasks.ListQueuesResponse.pb()
GetQueueRequest: Any = cloudtasks.GetQueueRequest.pb()
CreateQueueRequest: Any = cloudtasks.CreateQueueRequest.pb()
UpdateQueueRequest: Any = cloudtasks.UpdateQueueRequest.pb()
DeleteQueueRequest: Any = cloudtasks.DeleteQueueRequest.pb()
PurgeQueueRequest: Any = cloudtasks.PurgeQueueRequest.pb()
PauseQueueRequest: Any = cloudtasks.PauseQueueRequest.pb()
ResumeQueueRequest: Any = cloudtasks.ResumeQueueRequest.pb()
ListTasksRequest: Any = cloudtasks.ListTasksRequest.pb()
ListTasksResponse: Any = cloudtasks.ListTasksResponse.pb()
GetTaskRequest: Any = cloudtasks.GetTaskRequest.pb()
CreateTaskRequest: Any = cloudtasks.CreateTaskRequest.pb()
DeleteTaskRequest: Any = cloudtasks.DeleteTaskRequest.pb()
RunTaskRequest: Any = cloudtasks.RunTaskRequest.pb()
BatchCreateTasksRequest: Any = cloudtasks.BatchCreateTasksRequest.pb()
BatchCreateTasksResponse: Any = cloudtasks.BatchCreateTasksResponse.pb()
BatchCreateTasksMetadata: Any = cloudtasks.BatchCreateTasksMetadata.pb()
BatchDeleteTasksRequest: Any = cloudtasks.BatchDeleteTasksRequest.pb()
BatchDeleteTasksMetadata: Any = cloudtasks.BatchDeleteTasksMetadata.pb()
GetCmekConfigRequest: Any = cloudtasks.GetCmekConfigRequest.pb()
UpdateCmekConfigRequest: Any = cloudtasks.UpdateCmekConfigRequest.pb()

RUNNING: int = Queue.State.Value("RUNNING")
PAUSED: int = Queue.State.Value("PAUSED")
BASIC: int = Task.View.Value("BASIC")
FULL: int = Task.View.Value("FULL")

#: The number of each HTTP method, by its name, and the other way round.
METHODS: dict[str, int] = {
    name: number
    for name, number in target.HttpMethod.__members__.items()
    if name != "HTTP_METHOD_UNSPECIFIED"
}
METHOD_NAMES: dict[int, str] = {int(number): name for name, number in METHODS.items()}
POST: int = int(METHODS["POST"])
