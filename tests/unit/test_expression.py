"""CEL in rules: what it may name, what is found at load, what it costs."""

import subprocess
import sys

import pytest

from relay.policy.cases.case import Phase
from relay.policy.deciding.decide import decide
from relay.policy.rules.expression import (
    EMPTY_EXAMPLE,
    EXAMPLE,
    FULL_EXAMPLE,
    VARIABLES,
    ExpressionError,
    compile_expression,
)
from tests.support.policies import PLAIN, a_case, nested, newsletter
from tests.unit.test_decide import NOW

TYPES = {
    "string": str, "int": int, "bool": bool, "list of string": list, "list of map": list, "map of string": dict,
}  # fmt: skip


def objects(when: str, case, phase=Phase.DATA) -> bool:
    policy = newsletter(f'[[rule]]\nid = "mine"\nwhen = """{when}"""\ntext = "No"\ntext_zh = "不可"\n')
    ruling = decide(policy, policy.stream("newsletter"), case, phase, NOW)
    return "newsletter/mine" in {o.rule for o in ruling.objections}


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable.name)
def test_every_variable_has_its_type_in_every_example(variable):
    table, _, key = variable.name.partition(".")
    for example in (EXAMPLE, EMPTY_EXAMPLE, FULL_EXAMPLE):
        assert type(example[table][key]) is TYPES[variable.type]


@pytest.mark.parametrize(
    "when",
    [
        "message.subject == 'Spring'",
        "message.subject.startsWith('Spr') && message.subject.matches('^[A-Z]')",
        "message.from_address == 'news@example.com' && message.from_domain == 'example.com'",
        "message.size > 10 && message.size < 1000 && message.recipients == 1 && message.addressees == 1",
        "!message.automatic && !message.sealed",
        "size(message.attachments) == 0",
        "!message.attachments.exists(a, a.extension == 'pdf')",
        "'subject' in message.fields && message.fields['subject'] == 'Spring'",
        "recipient.address == 'ada@mail.example.org' && recipient.domain.endsWith('.example.org')",
        "'CN' in recipient.countries",
        "sender.identity == 'news@example.com' && sender.listener == 'submission'",
        "sender.reverse_path.contains('@')",
        "stream.name == 'newsletter' && stream.purpose == 'marketing'",
    ],
)
def test_an_expression_sees_the_mail(when):
    case = a_case(jurisdictions=frozenset({"CN"}))
    assert objects(when, case)
    assert not objects(f"!({when})", case)


def test_every_variable_is_real():
    """Each documented variable can be read from a real mail, so that the documents promise nothing else."""
    for variable in VARIABLES:
        assert objects(f"{variable.name} == {variable.name}", a_case())


def test_attachments_are_seen_with_name_extension_and_type():
    raw = PLAIN.replace(
        b"\r\n\r\n", b'\r\nContent-Type: application/PDF\r\nContent-Disposition: attachment; filename="Offer.PDF"\r\n\r\n', 1
    )
    when = "message.attachments.exists(a, a.extension == 'pdf' && a.name == 'Offer.PDF' && a.media_type == 'application/pdf')"
    assert objects(when, a_case(raw))


@pytest.mark.parametrize(
    ("when", "found"),
    [
        ("message.attachments.exists(a, a.extension == 'exe')", True),
        ("!message.attachments.exists(a, a.extension == 'exe')", True),
        ("message.sealed", True),
        ("message['attachments'].size() > 100", True),
        ("message.size == 0", False),
        ("message.subject == 'attachments'", False),
    ],
)
def test_parts_that_nobody_looked_at_are_not_taken_for_absent(when, found):
    assert objects(when, a_case(nested(30))) is found


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("message.size > 5 && message . subject == 'message.fields'", {"size", "subject"}),
        ("recipient.domain == 'qq.com'", set()),
        ("has(message.automatic)", {"automatic"}),
        (
            "message == message",
            {variable.name.partition(".")[2] for variable in VARIABLES if variable.name.startswith("message.")},
        ),
    ],
)
def test_only_what_is_read_is_worked_out(text, reads):
    assert compile_expression(text).reads == reads


def test_an_expression_without_the_message_speaks_at_rcpt():
    assert objects("recipient.domain == 'mail.example.org'", a_case(None), Phase.RCPT)
    assert not objects("message.size > 0 && recipient.domain == 'mail.example.org'", a_case(None), Phase.RCPT)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a CEL expression"),
        ("message.size >", "not a CEL expression"),
        ("nothing", 'no variable "nothing"'),
        ("message.body == 'x'", 'no variable "message.body"'),
        ("now() > 1", 'no function "now"'),
        ("message.size + 5.0 > 1.0", "No such overload"),
        ("message.subject", "gave str, not true or false"),
        ("1", "gave int, not true or false"),
        ("message.subject.matches('(')", "not a valid regex"),
        ("message.fields['x'] == 'y'", "'x' is not there in every mail"),
        ("message.attachments[0].name == 'x'", "does not work on an example mail"),
        ("message.attachments.map(a, message.attachments.map(b, b)).size() > 0", "do not nest"),
        ("true || " * 200 + "true", "longer than"),
    ],
)
def test_what_cannot_work_is_found_at_load(text, said):
    with pytest.raises(ExpressionError, match=said.replace("(", r"\(")):
        compile_expression(text)


def test_brackets_and_names_inside_texts_do_not_count():
    assert compile_expression("message.subject == 'foo.exists(x, y.exists(z, z))'").variables == {"message"}


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("message.size > 5", "message"),
        ("message.subject == 'recipient'", "message"),
        ("recipient.domain == 'qq.com' && message.size > 5", "domain"),
        ("recipient.domain == 'qq.com' || recipient . address == 'a@b.example'", "recipient"),
        ("has(recipient.domain) && recipient == recipient", "recipient"),
        ("'CN' in recipient.countries", "recipient"),
    ],
)
def test_an_answer_reaches_as_far_as_what_it_looks_at(text, scope):
    assert compile_expression(text).scope == scope


def test_loop_variables_are_not_mistaken_for_names():
    compiled = compile_expression("message.attachments.exists(x, x.name == 'a') && recipient.countries.all(c, c == 'CN')")
    assert compiled.variables == {"message", "recipient"}


def test_a_worker_does_not_carry_an_interactive_shell():
    shells = {"prompt_toolkit", "typer", "rich", "pygments", "click"}
    run = subprocess.run(
        [sys.executable, "-c", "import sys, relay.service.worker; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "cel" in run.stdout.split()
    assert not shells & set(run.stdout.split())
