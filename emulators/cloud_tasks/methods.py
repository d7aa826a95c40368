"""The API's methods: their requests, and where REST has them, as the `google.api.http` annotations say."""

from typing import Any

from emulators.api.method import Handle, Method, Route
from emulators.cloud_tasks import messages
from emulators.cloud_tasks.service import Service

_LOCATION = "projects/*/locations/*"
_QUEUE = f"{_LOCATION}/queues/*"
_TASK = f"{_QUEUE}/tasks/*"


def services(service: Service) -> dict[str, tuple[Method, ...]]:
    """The tables, by the services' names."""
    return {
        "google.cloud.tasks.v2.CloudTasks": (*_tasks(service), *_queues(service), *_surroundings(service)),
        "google.cloud.location.Locations": (
            _method(
                service.list_locations, messages.ListLocationsRequest, "GET", "{name=projects/*}/locations"
            ),
            _method(service.get_location, messages.GetLocationRequest, "GET", f"{{name={_LOCATION}}}"),
        ),
        "google.longrunning.Operations": (
            _method(
                service.get_operation,
                messages.GetOperationRequest,
                "GET",
                f"{{name={_LOCATION}/operations/*}}",
            ),
        ),
    }


def _tasks(service: Service) -> tuple[Method, ...]:
    tasks, task = f"{{parent={_QUEUE}}}/tasks", f"{{name={_TASK}}}"
    return (
        _method(service.create_task, messages.CreateTaskRequest, "POST", tasks, "*"),
        _method(service.list_tasks, messages.ListTasksRequest, "GET", tasks),
        _method(service.get_task, messages.GetTaskRequest, "GET", task),
        _method(service.delete_task, messages.DeleteTaskRequest, "DELETE", task),
        _method(service.run_task, messages.RunTaskRequest, "POST", f"{task}:run", "*"),
        _method(
            service.batch_create_tasks,
            messages.BatchCreateTasksRequest,
            "POST",
            f"{tasks}:batchCreate",
            "*",
        ),
        _method(
            service.batch_delete_tasks,
            messages.BatchDeleteTasksRequest,
            "POST",
            f"{tasks}:batchDelete",
            "*",
        ),
    )


def _queues(service: Service) -> tuple[Method, ...]:
    queues, queue = f"{{parent={_LOCATION}}}/queues", f"{{name={_QUEUE}}}"
    return (
        _method(service.create_queue, messages.CreateQueueRequest, "POST", queues, "queue"),
        _method(service.list_queues, messages.ListQueuesRequest, "GET", queues),
        _method(service.get_queue, messages.GetQueueRequest, "GET", queue),
        _method(
            service.update_queue, messages.UpdateQueueRequest, "PATCH", f"{{queue.name={_QUEUE}}}", "queue"
        ),
        _method(service.delete_queue, messages.DeleteQueueRequest, "DELETE", queue),
        _method(service.purge_queue, messages.PurgeQueueRequest, "POST", f"{queue}:purge", "*"),
        _method(service.pause_queue, messages.PauseQueueRequest, "POST", f"{queue}:pause", "*"),
        _method(service.resume_queue, messages.ResumeQueueRequest, "POST", f"{queue}:resume", "*"),
    )


def _surroundings(service: Service) -> tuple[Method, ...]:
    resource, config = f"{{resource={_QUEUE}}}", f"{_LOCATION}/cmekConfig"
    return (
        _method(
            service.get_iam_policy, messages.GetIamPolicyRequest, "POST", f"{resource}:getIamPolicy", "*"
        ),
        _method(
            service.set_iam_policy, messages.SetIamPolicyRequest, "POST", f"{resource}:setIamPolicy", "*"
        ),
        _method(
            service.test_iam_permissions,
            messages.TestIamPermissionsRequest,
            "POST",
            f"{resource}:testIamPermissions",
            "*",
        ),
        _method(service.get_cmek_config, messages.GetCmekConfigRequest, "GET", f"{{name={config}}}"),
        _method(
            service.update_cmek_config,
            messages.UpdateCmekConfigRequest,
            "PATCH",
            f"{{cmek_config.name={config}}}",
            "cmek_config",
        ),
    )


def _method(handle: Handle, request: Any, verb: str, path: str, body: str = "") -> Method:
    name = "".join(word.capitalize() for word in handle.__name__.split("_"))
    return Method(name, request, handle, Route(verb, f"/v2/{path}", body))
