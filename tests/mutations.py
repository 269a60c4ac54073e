"""Variants of right answers, made by program: each differs in one place, as a slip of the pen or of the mind would.

The answers are the reference and the alternatives of an exercise, and the functions of its module that they call.
"""

import ast
import builtins
import copy
import inspect
import sys
from collections.abc import Callable, Iterator
from functools import cache, partial

from gradutils.course.exercises import all_exercises

TURNS = 300_000  # of all loops of a variant together; the longest right answer takes 72 000
COMPARED = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
}
OPERATORS = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.Pow: (ast.Mult,),
    ast.FloorDiv: (ast.Div,),
}
NUMBERS = {0: (1, -1), 1: (0, 2), 2: (1, 3), 10: (5, 9, 11, 20), 50: (4, 25, 100)}
NAMES = {
    "all": ("any",),
    "any": ("all",),
    "max": ("min",),
    "min": ("max",),
    "amax": ("amin",),
    "amin": ("amax",),
    "floor": ("ceil",),
    "ceil": ("floor",),
    "round": ("int",),
    "mean": ("sum",),
    "sum": ("mean",),
    "log": ("log2", "log10"),
    "tanh": ("sigmoid",),
    "insert": ("append",),
    "isfinite": ("isnan", "isinf"),
}


class EndlessError(Exception):
    """A loop of a variant does not come to its end."""


def variants(exercise_id: str) -> Iterator[tuple[str, Callable]]:
    """(what was changed, the changed function), for every place of every right answer.

    Of an alternative, its own lines alone: what builds it builds other functions too.
    """
    module = sys.modules[all_exercises()[exercise_id].cases.__module__]
    definitions, entries = _read(module)
    others = {_name(_keyword(entry, "reference")) for id_, entry in entries.items() if id_ != exercise_id}
    entry = entries[exercise_id]
    reference = _keyword(entry, "reference")
    seen = set()
    for answer in [reference, *getattr(_keyword(entry, "alternatives"), "elts", ())]:
        used = _reached(answer, definitions)
        changed = set(used) - others if answer is reference else {_name(answer)} - {""}
        block = copy.deepcopy([definitions[name] for name in used])
        block.append(ast.Assign([ast.Name("_answer", ast.Store())], copy.deepcopy(answer)))
        block = [ast.fix_missing_locations(_Watched().visit(statement)) for statement in block]
        for statement, name in zip(block, [*used, "the answer"], strict=True):
            if name in changed - seen or name == "the answer":
                for change in _changes(statement):
                    yield f"{name}: {change}", _compiled(block, module)
        seen |= changed


# The source ----------------------------------------------------------------------------------------------------------
@cache
def _read(module) -> tuple[dict[str, ast.stmt], dict[str, ast.Call]]:
    """What a module of exercises defines, by name; and the call of Exercise behind every id."""
    tree = ast.parse(inspect.getsource(module))
    definitions: dict[str, ast.stmt] = {}
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef):
            definitions[statement.name] = statement
        elif isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            definitions[statement.targets[0].id] = statement
    entries = {}
    table = definitions.pop("EXERCISES").value
    for key, value in zip(table.keys, table.values, strict=True):
        entries[key.value] = definitions.pop(value.id).value if isinstance(value, ast.Name) else value
    return definitions, entries


def _keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)


def _name(node: ast.expr | None) -> str:
    return getattr(node, "id", "")


def _reached(answer: ast.expr, definitions: dict[str, ast.stmt]) -> list[str]:
    """The names of the module that an answer uses, in the order in which they are defined."""
    found, waiting = set(), [answer]
    while waiting:
        names = {node.id for node in ast.walk(waiting.pop()) if isinstance(node, ast.Name)}
        for name in names & definitions.keys() - found:
            found.add(name)
            waiting.append(definitions[name])
    return [name for name in definitions if name in found]


class _Watched(ast.NodeTransformer):
    """Counts the turns of every loop, so that an endless one ends."""

    def visit_While(self, node):
        self.generic_visit(node)
        node.body.insert(0, ast.Expr(ast.Call(ast.Name("_turn", ast.Load()), [], [])))
        return node


def _compiled(block: list[ast.stmt], module) -> Callable:
    left = TURNS

    def turn():
        nonlocal left
        left -= 1
        if left < 0:
            raise EndlessError

    scope = dict(vars(module)) | {"_turn": turn}
    exec(compile(ast.Module(block, []), "<variant>", "exec"), scope)
    return scope["_answer"]


# The changes ---------------------------------------------------------------------------------------------------------
def _changes(tree: ast.stmt) -> Iterator[str]:
    """Change the tree in one place, say what was changed, and put it back: again and again."""
    for parent in list(ast.walk(tree)):
        for field, value in list(ast.iter_fields(parent)):
            if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                yield from _changed_block(value)
            elif isinstance(value, list):
                for k, old in enumerate(value):
                    yield from _changed_expression(parent, old, partial(value.__setitem__, k))
            else:
                yield from _changed_expression(parent, value, partial(setattr, parent, field))


def _changed_expression(parent: ast.AST, old, put: Callable) -> Iterator[str]:
    # Two equal numbers differ in what stands around them.
    shown = parent if isinstance(old, ast.Constant) and isinstance(parent, ast.expr) else old
    for new in _instead_of(old):
        before = ast.unparse(shown)
        put(_placed(new, old))
        yield f"{before} -> {ast.unparse(parent if shown is parent else new)}"
        put(old)


def _changed_block(block: list[ast.stmt]) -> Iterator[str]:
    old = list(block)
    for what, new in _other_statements(old):
        block[:] = [_placed(statement, old[0]) for statement in new]
        yield what
        block[:] = old


def _calls(statement: ast.stmt) -> bool:
    """Whether it is a call alone on its line, and not ours that counts turns."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Call)
        and _name(statement.value.func) != "_turn"
    )


def _placed(new, old):
    if not hasattr(new, "lineno"):
        ast.copy_location(new, old)
    return ast.fix_missing_locations(new)


def _with(node, **fields):
    new = copy.copy(node)
    for field, value in fields.items():
        setattr(new, field, value)
    return new


def _instead_of(node: ast.expr) -> Iterator[ast.expr]:
    """What could stand in the place of an expression by a slip."""
    match node:
        case ast.Constant(value=bool()):
            yield ast.Constant(not node.value)
        case ast.Constant(value=int() | float()):
            value = node.value
            yield from map(ast.Constant, NUMBERS.get(value, (value * 2, value / 2)))
        case ast.Compare(ops=[op]):
            for other in COMPARED.get(type(op), ()):
                yield _with(node, ops=[other()])
        case ast.BoolOp():
            yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
            for k in range(len(node.values)):
                rest = node.values[:k] + node.values[k + 1 :]
                yield rest[0] if len(rest) == 1 else _with(node, values=rest)
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield node.operand
        case ast.BinOp():
            for other in OPERATORS.get(type(node.op), ()):
                yield _with(node, op=other())
            yield node.left
            yield node.right
            if not isinstance(node.op, (ast.Add, ast.Mult)) and ast.dump(node.left) != ast.dump(node.right):
                yield _with(node, left=node.right, right=node.left)
        case ast.IfExp():
            yield node.body
            yield node.orelse
            yield _with(node, body=node.orelse, orelse=node.body)
        case ast.Subscript(slice=ast.Constant(value=0)):
            yield _with(node, slice=ast.Constant(-1))
        case ast.Subscript(slice=ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=1))):
            yield _with(node, slice=ast.Constant(0))
        case ast.Attribute(attr="T"):
            yield node.value
        case ast.Attribute() if node.attr in NAMES:
            for name in NAMES[node.attr]:
                yield _with(node, attr=name)
        case ast.Call(func=ast.Name(id="range" | "len" as name)):
            end = node.args[min(len(node.args) - 1, 1)]
            for op in (ast.Add(), ast.Sub()) if name == "range" else ():
                longer = ast.BinOp(end, op, ast.Constant(1))
                yield _with(node, args=[longer if argument is end else argument for argument in node.args])
        case ast.Call(func=ast.Name()) if (
            len(node.args) == 1 and node.func.id != "float"
        ):  # any number will do
            yield node.args[0]
        case ast.Call(func=ast.Attribute(value=ast.Name(id="math" | "torch"))) if len(node.args) == 1:
            yield node.args[0]
        case ast.Call(func=ast.Attribute()) if not node.args and node.func.attr not in ("item", "detach"):
            yield node.func.value
        case ast.Tuple(ctx=ast.Load(), elts=[first, *_, last]) if ast.dump(first) != ast.dump(last):
            yield _with(node, elts=node.elts[::-1])
        case ast.Name(ctx=ast.Load()) if node.id in NAMES and hasattr(builtins, node.id):
            for name in NAMES[node.id]:
                yield _with(node, id=name)


def _other_statements(block: list[ast.stmt]) -> Iterator[tuple[str, list[ast.stmt]]]:
    """What could stand in the place of a block: a statement is missing, or two guards are exchanged."""
    for k, statement in enumerate(block):
        before, after = block[:k], block[k + 1 :]
        line = ast.unparse(statement).replace("\n", " ")
        if isinstance(statement, ast.If):
            yield f"never: {line}", [*before, *(statement.orelse or [ast.Pass()]), *after]
            yield f"always: {line}", [*before, *statement.body, *after]
            if after and isinstance(after[0], ast.If):
                yield f"later: {line}", [*before, after[0], statement, *after[1:]]
        elif isinstance(statement, (ast.Assign, ast.AugAssign, ast.For, ast.While)) or _calls(statement):
            yield f"without: {line}", [*before, ast.Pass(), *after]
        if isinstance(statement, ast.For):
            for part in ("[1:]", "[:-1]"):
                shorter = ast.parse(f"list(_){part}", mode="eval").body
                shorter.value.args = [statement.iter]
                yield f"for in {ast.unparse(shorter)}", [*before, _with(statement, iter=shorter), *after]
        if isinstance(statement, ast.AugAssign):
            yield f"{line} -> =", [*before, ast.Assign([statement.target], statement.value), *after]
