"""How the faults of tasks are answered."""

from functions.http.replies import Answer, Answers, answering
from turnout.tasks import errors

ANSWERS: Answers = {
    errors.TaskUnknown: Answer(404, "task-unknown", "There is no such task"),
    errors.KeyReused: Answer(409, "key-reused", "The key belongs to another task"),
    errors.TransitionRefused: Answer(409, "transition-refused", "The task's state does not allow this"),
    errors.CountDiffers: Answer(409, "count-differs", "There are more tasks than expected"),
    errors.HandlerUnknown: Answer(422, "handler-unknown", "There is no such handler"),
    errors.TopicFull: Answer(429, "topic-full", "The topic has as many tasks as it may"),
}

answering_tasks = answering(ANSWERS)
