"""The methods of the API, each from its request message to its answer: the engine decides, the store keeps, then it is answered.

What an answer promises is on disk before it is sent.
"""

import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from emulators.api.refused import Refused
from emulators.cloud_tasks import limits, operations, paging, views
from emulators.cloud_tasks.changes import Change, EncryptionSaved, PolicySaved
from emulators.cloud_tasks.dispatcher import Dispatcher
from emulators.cloud_tasks.engine import Engine
from emulators.cloud_tasks.errors import InvalidArgument, NotFound
from emulators.cloud_tasks.filters import condition_of
from emulators.cloud_tasks.messages import (
    FULL,
    BatchCreateTasksMetadata,
    BatchCreateTasksResponse,
    BatchDeleteTasksMetadata,
    CmekConfig,
    Empty,
    ListLocationsResponse,
    ListQueuesResponse,
    ListTasksResponse,
    Location,
    Policy,
    Task,
    TestIamPermissionsResponse,
)
from emulators.cloud_tasks.names import location_name, location_of, queue_name
from emulators.cloud_tasks.queue import LiveTask
from emulators.cloud_tasks.store import Store

#: Regions in which the service runs; others are served as well.
LOCATIONS = (
    "asia-east1",
    "asia-northeast1",
    "asia-south1",
    "asia-southeast1",
    "australia-southeast1",
    "europe-central2",
    "europe-north1",
    "europe-west1",
    "europe-west2",
    "europe-west3",
    "europe-west4",
    "europe-west6",
    "northamerica-northeast1",
    "southamerica-east1",
    "us-central1",
    "us-east1",
    "us-east4",
    "us-west1",
    "us-west2",
)


class Service:
    """CloudTasks, Locations and Operations, over protobuf messages."""

    def __init__(
        self,
        engine: Engine,
        store: Store,
        dispatcher: Dispatcher,
        clock: Callable[[], int],
        policies: dict[str, bytes],
        encryption: dict[str, bytes],
    ) -> None:
        self.engine = engine
        self._store = store
        self._dispatcher = dispatcher
        self._clock = clock
        self._policies = policies
        self._encryption = encryption
        self._operations = operations.Operations()

    def now_us(self) -> int:
        """The moment it is."""
        return self._clock()

    # Queues

    async def create_queue(self, request: Any) -> Any:
        """CreateQueue."""
        return await self._kept(self.engine.create_queue(request.parent, request.queue))

    async def update_queue(self, request: Any) -> Any:
        """UpdateQueue."""
        return await self._kept(self.engine.update_queue(request.queue, request.update_mask.paths))

    async def get_queue(self, request: Any) -> Any:
        """GetQueue."""
        return self.engine.queue(request.name).config

    async def delete_queue(self, request: Any) -> Any:
        """DeleteQueue."""
        self.engine.delete_queue(request.name)
        self._policies.pop(request.name, None)
        return await self._kept(Empty())

    async def pause_queue(self, request: Any) -> Any:
        """PauseQueue."""
        return await self._kept(self.engine.pause_queue(request.name))

    async def resume_queue(self, request: Any) -> Any:
        """ResumeQueue."""
        return await self._kept(self.engine.resume_queue(request.name))

    async def purge_queue(self, request: Any) -> Any:
        """PurgeQueue."""
        return await self._kept(self.engine.purge_queue(request.name))

    async def list_queues(self, request: Any) -> Any:
        """ListQueues, by name."""
        parent = location_name(request.parent)
        size = paging.page_size(request.page_size, limits.QUEUES_PER_PAGE_MAX)
        now_us = self._clock()
        after = paging.after(request.page_token, parent, request.filter, now_us)
        holds = condition_of(request.filter)
        found = [
            queue.config
            for name, queue in sorted(self.engine.queues.items())
            if name > after and location_of(name) == parent and holds(queue.config)
        ]
        answer = ListQueuesResponse(queues=found[:size])
        if len(found) > size:
            answer.next_page_token = paging.token(parent, request.filter, found[size - 1].name, now_us)
        return answer

    # Tasks

    async def create_task(self, request: Any) -> Any:
        """CreateTask."""
        task, definition = await self._create(request.parent, request.task)
        return views.shown(definition, task.record(), request.response_view)

    async def buffer_task(self, queue: str, task_id: str, request: Any) -> Any:
        """BufferTask: a task of an HTTP request (method, headers, body) for the target that the queue names; FULL view."""
        if not self.engine.queue(queue).config.http_target.uri_override.host:
            raise InvalidArgument("The queue must have an HTTP target: set httpTarget.uriOverride.host.")
        given = Task(name=f"{queue}/tasks/{task_id}" if task_id else "")
        given.http_request.CopyFrom(request)
        task, definition = await self._create(queue, given)
        return views.shown(definition, task.record(), FULL)

    async def get_task(self, request: Any) -> Any:
        """GetTask."""
        return self._shown(self.engine.task(request.name), request.response_view)

    async def list_tasks(self, request: Any) -> Any:
        """ListTasks, in the order of their creation."""
        queue = self.engine.queue(request.parent)
        size = paging.page_size(request.page_size, limits.TASKS_PER_PAGE_MAX)
        now_us = self._clock()
        after = int(paging.after(request.page_token, queue.name, "", now_us) or 0)
        found: list[LiveTask] = []
        for task in queue.tasks.values():
            if task.order > after:
                found.append(task)
                if len(found) > size:
                    break
        definitions = self._store.definitions([task.order for task in found[:size]])
        answer = ListTasksResponse(
            tasks=[
                views.shown(definitions[task.order], task.record(), request.response_view)
                for task in found[:size]
                if task.order in definitions
            ]
        )
        if len(found) > size:
            answer.next_page_token = paging.token(queue.name, "", str(found[size - 1].order), now_us)
        return answer

    async def delete_task(self, request: Any) -> Any:
        """DeleteTask."""
        self.engine.delete_task(request.name)
        return await self._kept(Empty())

    async def run_task(self, request: Any) -> Any:
        """RunTask; the task as it was before the run."""
        before = self._shown(self.engine.task(request.name), request.response_view)
        self.engine.run_task(request.name)
        # The attempt is noted with the dispatch.
        self._dispatcher.wake()
        return before

    async def batch_create_tasks(self, request: Any) -> Any:
        """BatchCreateTasks; the operation has ended."""
        name, known = self._operation(request.parent, request.request_id)
        if known is not None:
            return known
        _check_batch(len(request.requests), limits.BATCH_CREATE_MAX)
        started_us = self._clock()
        made, failures = BatchCreateTasksResponse(), {}
        tasks: list[tuple[LiveTask, Any, int]] = []
        for index, each in enumerate(request.requests):
            try:
                if each.parent and each.parent != request.parent:
                    raise InvalidArgument("The parent of each request must be the parent of the batch.")
                task, definition = self.engine.create_task(request.parent, each.task)
                tasks.append((task, definition, each.response_view))
            except Refused as fault:
                failures[index] = fault
        await self._keep_created(self.engine.take_changes(), [task for task, _, _ in tasks])
        made.tasks.extend(views.shown(definition, task.record(), view) for task, definition, view in tasks)
        times = (started_us, self._clock())
        return self._operations.keep(
            operations.ended(name, BatchCreateTasksMetadata(), made, failures, len(request.requests), times)
        )

    async def batch_delete_tasks(self, request: Any) -> Any:
        """BatchDeleteTasks; the operation has ended."""
        name, known = self._operation(request.parent, request.request_id)
        if known is not None:
            return known
        _check_batch(len(request.names), limits.BATCH_DELETE_MAX)
        started_us = self._clock()
        failures = {}
        for index, task in enumerate(request.names):
            try:
                if not task.startswith(f"{request.parent}/tasks/"):
                    raise InvalidArgument("The tasks of a batch must be in its parent queue.")
                self.engine.delete_task(task)
            except Refused as fault:
                failures[index] = fault
        await self._kept(None)
        times = (started_us, self._clock())
        return self._operations.keep(
            operations.ended(name, BatchDeleteTasksMetadata(), Empty(), failures, len(request.names), times)
        )

    # What surrounds them

    async def get_operation(self, request: Any) -> Any:
        """GetOperation, of a batch since the start."""
        return self._operations.get(request.name)

    async def get_iam_policy(self, request: Any) -> Any:
        """GetIamPolicy: what was set, or an empty policy."""
        self.engine.queue(request.resource)
        return Policy.FromString(self._policies.get(request.resource, b""))

    async def set_iam_policy(self, request: Any) -> Any:
        """SetIamPolicy: kept and returned, and enforced on nobody."""
        self.engine.queue(request.resource)
        policy = Policy()
        policy.CopyFrom(request.policy)
        policy.version = policy.version or 1
        policy.etag = uuid.uuid4().bytes[:8]
        self._policies[request.resource] = policy.SerializeToString()
        await self._store.keep([PolicySaved(request.resource, self._policies[request.resource])])
        return policy

    async def test_iam_permissions(self, request: Any) -> Any:
        """TestIamPermissions: all that is asked for, and none on a queue that does not exist."""
        exists = queue_name(request.resource) in self.engine.queues
        return TestIamPermissionsResponse(permissions=request.permissions if exists else [])

    async def get_cmek_config(self, request: Any) -> Any:
        """GetCmekConfig: what was set, or an empty one."""
        config = CmekConfig.FromString(self._encryption.get(_cmek_name(request.name), b""))
        config.name = request.name
        return config

    async def update_cmek_config(self, request: Any) -> Any:
        """UpdateCmekConfig: kept and returned; nothing is encrypted."""
        name = _cmek_name(request.cmek_config.name)
        self._encryption[name] = request.cmek_config.SerializeToString()
        await self._store.keep([EncryptionSaved(name, self._encryption[name])])
        return request.cmek_config

    async def list_locations(self, request: Any) -> Any:
        """ListLocations: regions of the service, and those that queues here lie in."""
        used = {
            location_of(name).rpartition("/")[2]
            for name in self.engine.queues
            if name.startswith(f"{request.name}/locations/")
        }
        size = paging.page_size(request.page_size, len(LOCATIONS) + len(used))
        now_us = self._clock()
        after = paging.after(request.page_token, request.name, request.filter, now_us)
        found = [each for each in sorted({*LOCATIONS, *used}) if each > after]
        answer = ListLocationsResponse(
            locations=[_location(f"{request.name}/locations/{each}") for each in found[:size]]
        )
        if len(found) > size:
            answer.next_page_token = paging.token(request.name, request.filter, found[size - 1], now_us)
        return answer

    async def get_location(self, request: Any) -> Any:
        """GetLocation, of any name that could be one."""
        return _location(location_name(request.name))

    # Beneath

    async def _create(self, parent: str, given: Any) -> tuple[LiveTask, Any]:
        task, definition = self.engine.create_task(parent, given)
        await self._keep_created(self.engine.take_changes(), [task])
        return task, definition

    async def _keep_created(self, changes: Sequence[Change], tasks: Iterable[LiveTask]) -> None:
        if not changes:
            return

        def take_back() -> None:
            for task in tasks:
                self.engine.forget_task(task)

        await self._store.write(changes, take_back)
        # Kept first and dispatched then; the dispatcher may have looked meanwhile, which does no harm.
        self._dispatcher.wake()

    async def _kept(self, answer: Any) -> Any:
        changes = self.engine.take_changes()
        # The answer is what it is now, whatever happens to the queue while it is written.
        if answer is not None:
            frozen = type(answer)()
            frozen.CopyFrom(answer)
            answer = frozen
        if changes:
            await self._store.keep(changes)
        self._dispatcher.wake()
        return answer

    def _shown(self, task: LiveTask, view: int) -> Any:
        definitions = self._store.definitions([task.order])
        if task.order not in definitions:
            raise NotFound
        return views.shown(definitions[task.order], task.record(), view)

    def _operation(self, parent: str, request_id: str) -> tuple[str, Any | None]:
        location = location_of(self.engine.queue(parent).name)
        name = f"{location}/operations/{request_id or uuid.uuid4()}"
        return name, self._operations.find(name) if request_id else None


def _check_batch(requests: int, requests_max: int) -> None:
    if not 0 < requests <= requests_max:
        raise InvalidArgument(f"A batch holds 1 to {requests_max} requests; this one has {requests}.")


def _cmek_name(name: str) -> str:
    location, found, rest = name.rpartition("/cmekConfig")
    if not found or rest:
        raise InvalidArgument("The name must be projects/<PROJECT_ID>/locations/<LOCATION_ID>/cmekConfig.")
    return location_name(location) + "/cmekConfig"


def _location(name: str) -> Any:
    return Location(
        name=name,
        location_id=name.rpartition("/")[2],
        labels={"cloud.googleapis.com/region": name.rpartition("/")[2]},
    )
