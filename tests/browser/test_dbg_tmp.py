from tests.browser.conftest import *
from tests.browser.test_thinking import *
def test_dbg(ask, hand):
    nb = ask(ASK, *["print('a cell below')"]*12, height=500)
    nb.page.evaluate("""()=>{window.log=[]; window.at=()=>{const r=document.querySelector('.qianfan-reply'); if(!r) return; const s=r.querySelector('.qianfan-state'); let e=r; while(e && !(/auto|scroll/.test(getComputedStyle(e).overflowY) && e.scrollHeight>e.clientHeight+1)) e=e.parentElement; return [e?.className?.slice(0,60), e?.scrollTop, e?.scrollHeight, e?.clientHeight, e?.getBoundingClientRect().top, s.getBoundingClientRect().bottom, r.querySelector('details')?.open]}; const f=()=>{const v=JSON.stringify(at()); if (log.at(-1)!==v) log.push(v); requestAnimationFrame(f)}; f();}""")
    hand.think(*LONG[:60]); thought(nb,"Step 59:")
    print(nb.page.evaluate("at()"))
    hand.say("Five"); said(nb,"Five")
    nb.page.wait_for_timeout(500)
    for l in nb.page.evaluate("log"): print(l)
    print(nb.page.evaluate("getComputedStyle(document.querySelector('.jp-WindowedPanel-outer')).overflowAnchor"))
