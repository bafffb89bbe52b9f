"""Run by Superset's own Python, of both forms: `prepare.py FOLDER PASSWORD_FILE`.

In this order, each of which changes nothing where it is done: 1. Superset's own database is made or brought up to this
release; 2. its roles; 3. the user `admin` with the password of the file; 4. the assets below the folder are imported,
which changes what was imported before; 5. charts of before that are declared no more go.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import superset
import yaml
from flask import g
from flask_migrate import upgrade
from superset.app import create_app
from werkzeug.security import check_password_hash

USER = "admin"


def main(folder: Path, password: str) -> None:
    """All of them. Raises what Superset raises."""
    app = create_app()
    with app.app_context():
        upgrade(directory=str(Path(superset.__file__).parent / "migrations"))
    app = create_app()
    with app.app_context():
        _prepare(folder, password)


def _prepare(folder: Path, password: str) -> None:
    from superset import appbuilder, db, security_manager
    from superset.commands.importers.v1.assets import ImportAssetsCommand

    appbuilder.add_permissions(update_perms=True)
    security_manager.sync_role_definitions()
    db.session.commit()
    g.user = _admin(security_manager, password)
    contents = {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*.yaml"))}
    ImportAssetsCommand(contents).run()
    _drop_others({path: yaml.safe_load(text) for path, text in contents.items()})
    db.session.commit()


def _drop_others(assets: Mapping[str, Any]) -> None:
    """Charts that an import has made and that are declared no more; what a user has saved stays."""
    from superset import db
    from superset.connectors.sqla.models import SqlaTable
    from superset.models.slice import Slice

    declared = {asset["uuid"] for path, asset in assets.items() if path.startswith(("charts/", "datasets/"))}
    datasets = [each.id for each in db.session.query(SqlaTable).all() if str(each.uuid) in declared]
    made = db.session.query(Slice).filter(Slice.is_managed_externally, Slice.datasource_id.in_(datasets))
    for chart in made.all():
        if str(chart.uuid) not in declared:
            db.session.delete(chart)


def _admin(manager: Any, password: str) -> Any:
    user = manager.find_user(USER)
    if user is None:
        role = manager.find_role(manager.auth_role_admin)
        user = manager.add_user(USER, "Bank", "Admin", "admin@localhost", role, password)
        if not user:
            raise RuntimeError("the user could not be made")
    elif not check_password_hash(user.password, password):
        manager.reset_password(user.id, password)
    return user


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]).read_text().strip())
