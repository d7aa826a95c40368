"""How the faults of polls and votes are answered."""

from functions.http.replies import Answer, Answers, answering
from turnout.votes import errors

ANSWERS: Answers = {
    errors.PollUnknown: Answer(404, "poll-unknown", "There is no such poll"),
    errors.PollNotOpen: Answer(409, "poll-not-open", "The poll has not opened yet"),
    errors.PollClosed: Answer(409, "poll-closed", "The poll has closed"),
    errors.PollExists: Answer(409, "poll-exists", "A poll with this id exists already"),
    errors.PollChanged: Answer(409, "poll-changed", "Somebody else changed the poll meanwhile"),
    errors.ChangeRefused: Answer(409, "change-refused", "The poll's state does not allow this change"),
    errors.NotCertifiable: Answer(409, "not-certifiable", "The poll cannot be certified yet"),
    errors.ChoiceUnknown: Answer(422, "choice-unknown", "The poll has no such choice"),
    errors.KeyMissing: Answer(422, "key-missing", "The poll counts one vote per key, and this vote has none"),
}

answering_votes = answering(ANSWERS)
