"""Pages of a portal that lead nowhere, or run what somebody wrote."""

from retrain_pipeline_tests.records.truth.documented import context_of
from retrain_pipeline_tests.records.truth.known_bad import CASES, POLICY, Bad, bad, portal, replaced


@bad("links", "'v/1.html' leads nowhere")
def portal_links_to_no_page(world, folder):
    return context_of(world, portal=portal(folder, '<a href="v/1.html">one</a>'))


@bad("links", "'#bottom' leads nowhere")
def portal_links_to_no_anchor(world, folder):
    return context_of(world, portal=portal(folder, '<a href="#bottom">down</a>'))


@bad("links", "leads nowhere")
def portal_links_out_of_its_folder(world, folder):
    return context_of(world, portal=portal(folder, '<a href="../../etc/passwd">x</a>'))


@bad("links", "there is no page")
def portal_is_empty(world, folder):
    (folder / "site").mkdir()
    return context_of(world, portal=folder / "site")


def _page(name: str, words: str, body: str, policy: str = POLICY) -> None:
    def page(world, folder):
        return context_of(world, portal=portal(folder, body, policy))

    page.__name__ = name
    CASES.append(Bad("escaped", page, words))


_page("page_has_a_handler", "a handler: img onerror", '<img src="x.png" onerror="alert(1)">')
_page("page_has_a_script", "a script that the policy does not name", "<script>alert(1)</script>")
_page("page_has_a_link_that_executes", "a link that executes", '<a href="javascript:alert(1)">x</a>')
_page("page_has_a_link_that_hides_what_it_does", "a link that executes", '<a href=" jav&#x61;script:alert(1)">x</a>')
_page("page_has_a_frame", "no business here: iframe", "<iframe></iframe>")
_page("page_sends_elsewhere", "a form that sends elsewhere", '<form action="https://evil.invalid/"></form>')
_page("page_loads_from_elsewhere", "loaded from elsewhere", '<img src="https://example.org/x.png">')
_page("page_has_no_policy", "no content policy", "text", "")
_page("page_lets_everything_in", "does not begin from default-src 'none'", "text", "default-src *")
_page("page_lets_inline_scripts_in", "'unsafe-inline'", "text", "default-src 'none'; script-src 'unsafe-inline'")
_page("page_shows_a_secret", "a secret in line", "<p>password: correct-horse-battery</p>")


@bad("escaped", "text of people as markup")
def page_shows_markup_that_somebody_wrote(world, folder):
    replaced(world, "* Good, because one", "* Good <b>indeed</b>, because one")
    line = "* Good <b>indeed</b>, because one split tells the whole story to whoever pays."
    return context_of(world, portal=portal(folder, f"<p>{line}</p>"))
