"""Argo CD's Lua, as it calls the scripts of a resource customization."""

from pathlib import Path
from typing import Any

from lupa import lua51

Json = dict[str, Any]
ARGOCD = Path(__file__).resolve().parents[2] / "charts" / "slipway" / "argocd"


def run(script: str, obj: Json) -> Any:
    """What a script returns for an object, as plain Python values.

    Like Argo CD: Lua 5.1, the object as the global ``obj``, and no way to files, processes or code.
    """
    lua = lua51.LuaRuntime(unpack_returned_tuples=True, register_eval=False)
    lua.execute("os, io, package, require, dofile, loadfile, load, loadstring = nil")
    lua.globals()["obj"] = _to_lua(lua, obj)
    return _to_python(lua.execute((ARGOCD / script).read_text()))


def _to_lua(lua: Any, value: Any) -> Any:
    if isinstance(value, dict):
        return lua.table_from({key: _to_lua(lua, each) for key, each in value.items()})
    if isinstance(value, list):
        return lua.table_from([_to_lua(lua, each) for each in value])
    return value


def _to_python(value: Any) -> Any:
    if lua51.lua_type(value) != "table":
        return value
    keys = list(value.keys())
    if keys and keys == list(range(1, len(keys) + 1)):
        return [_to_python(value[key]) for key in keys]
    return {key: _to_python(value[key]) for key in keys}
