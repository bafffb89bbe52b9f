"""How the pages look: by variables that dark and light set, with contrasts of 4.5 to 1 and more."""

STYLE = """
:root { --ms-text: #1f2328; --ms-soft: #57606a; --ms-back: #ffffff; --ms-card: #f6f8fa; --ms-line: #8c959f;
        --ms-link: #1d4ed8; --ms-good: #166534; --ms-bad: #b91c1c; --ms-warn: #854d0e; }
.body--dark { --ms-text: #e6edf3; --ms-soft: #aeb8c2; --ms-back: #0d1117; --ms-card: #161b22; --ms-line: #6e7681;
        --ms-link: #7fb4ff; --ms-good: #56d364; --ms-bad: #ff8f88; --ms-warn: #e3b341; }
body { background: var(--ms-back); color: var(--ms-text); font-family: system-ui, sans-serif; font-size: 16px; }
.nicegui-content { padding: 0; align-items: stretch; }
.ms-header { background: #0b2a5b; color: #ffffff; display: flex; flex-wrap: wrap; align-items: center; gap: 4px 16px;
        padding: 6px 16px; }
.ms-brand { font-weight: 700; font-size: 1.15rem; }
.ms-nav { display: flex; flex-wrap: wrap; gap: 2px 4px; flex: 1 1 auto; }
a.ms-link { color: #ffffff; text-decoration: none; padding: 6px 10px; border-radius: 6px; }
a.ms-link:hover, a.ms-here { background: #ffffff; color: #0b2a5b; }
.ms-theme { width: 6.5rem; }
.ms-skip { position: absolute; left: -9999px; z-index: 9999; background: #ffffff; color: #0b2a5b; padding: 8px; }
.ms-skip:focus { left: 8px; top: 8px; }
:focus-visible { outline: 3px solid #f59e0b !important; outline-offset: 2px; }
.ms-main { width: 100%; max-width: 1100px; margin: 0 auto; padding: 8px 16px 48px; box-sizing: border-box;
        display: flex; flex-direction: column; gap: 16px; }
.ms-main:focus { outline: none !important; }
.ms-main h1 { font-size: 1.6rem; line-height: 1.3; margin: 8px 0 0; font-weight: 700; letter-spacing: 0; }
.ms-main h2 { font-size: 1.2rem; line-height: 1.3; margin: 8px 0 0; font-weight: 600; letter-spacing: 0; }
.ms-away, .ms-error { color: var(--ms-bad); border: 1px solid var(--ms-bad); border-radius: 6px; padding: 8px 12px;
        overflow-wrap: anywhere; }
.ms-away { margin: 8px 16px 0; }
.ms-note { color: var(--ms-soft); overflow-wrap: anywhere; }
.ms-good { color: var(--ms-good); } .ms-bad { color: var(--ms-bad); } .ms-warn { color: var(--ms-warn); }
.ms-cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 300px), 1fr)); gap: 12px;
        width: 100%; }
.ms-card { background: var(--ms-card); border: 1px solid var(--ms-line); border-radius: 8px; padding: 10px 12px;
        display: flex; flex-direction: column; gap: 6px; min-width: 0; overflow-wrap: anywhere; }
.ms-part { display: flex; flex-direction: column; gap: 4px; padding-top: 6px; min-width: 0; }
.ms-card .ms-cards { grid-template-columns: minmax(0, 1fr); gap: 6px; }
.ms-caps { text-transform: uppercase; letter-spacing: 0.04em; }
.ms-grow { flex: 1 1 220px; min-width: 0; }
form[aria-label=Lineage] { scroll-margin-top: 130px; }
.ms-fields { display: flex; flex-wrap: wrap; gap: 4px 20px; margin: 0; font-variant-numeric: tabular-nums; }
.ms-fields dt { color: var(--ms-soft); font-size: 0.78rem; line-height: 1.2; }
.ms-fields dd { margin: 0; overflow-wrap: anywhere; }
.ms-tree { display: flex; flex-direction: column; gap: 8px; width: 100%; }
.ms-card > .ms-tree { border-left: 3px solid var(--ms-line); padding-left: 8px; }
.ms-title { font-weight: 600; }
.ms-row { display: flex; flex-wrap: wrap; gap: 8px; align-items: center; }
.ms-form { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 200px), 1fr)); gap: 8px 12px;
        align-items: start; width: 100%; }
.ms-flow { display: grid; grid-template-columns: 4fr 3fr 7fr 3fr; gap: 28px; width: 100%; }
.ms-flow .ms-cards { grid-template-columns: repeat(auto-fill, minmax(min(100%, 170px), 1fr)); gap: 8px; }
.ms-flow .ms-card { gap: 2px; padding: 8px 10px; font-size: 0.92rem; }
.ms-stage { position: relative; display: flex; flex-direction: column; gap: 8px; min-width: 0; }
.ms-stage:not(:last-child)::after { content: "\\2192"; position: absolute; right: -24px; top: 2px; font-size: 1.3rem;
        color: var(--ms-soft); }
@media (max-width: 800px) {
  .ms-brand { flex: 1 1 auto; }
  .ms-nav { order: 3; flex-basis: 100%; }
  .ms-flow { grid-template-columns: minmax(0, 1fr); gap: 30px; }
  .ms-stage:not(:last-child)::after { content: "\\2193"; right: auto; left: 12px; top: auto; bottom: -30px; }
}
.ms-slider { width: 100%; height: 28px; accent-color: var(--ms-link); cursor: pointer; }
.ms-figures { font-variant-numeric: tabular-nums; }
.ms-table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
.ms-table th, .ms-table td { text-align: left; padding: 6px 8px; border-bottom: 1px solid var(--ms-line);
        overflow-wrap: anywhere; }
.ms-table .ms-number { text-align: right; }
.ms-chart { width: 100%; height: 240px; overflow: hidden; }
.ms-big { font-size: 1.5rem; font-weight: 700; font-variant-numeric: tabular-nums; }
.ms-text { white-space: pre-wrap; overflow-wrap: anywhere; font-family: ui-monospace, monospace; font-size: 0.85rem;
        max-height: 40vh; overflow: auto; border: 1px solid var(--ms-line); border-radius: 6px; padding: 8px; }
.ms-wide { width: 100%; }
.ms-code textarea { font-family: ui-monospace, monospace; font-size: 0.85rem; line-height: 1.4; min-height: 30vh; }
.ms-dialog { background: var(--ms-back); color: var(--ms-text); width: min(720px, 94vw); max-width: none;
        gap: 10px; }
.q-field__label, .q-field__native, .q-field__messages { color: var(--ms-text); }
.ms-header .q-field__label, .ms-header .q-field__native, .ms-header .q-icon { color: #ffffff; }
.q-field--outlined .q-field__control:before { border-color: var(--ms-line) !important; }
.ms-button { color: var(--ms-link); } .ms-button.ms-bad { color: var(--ms-bad); }
.ms-place { display: contents; }
"""
