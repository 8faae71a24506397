import subprocess, sys, os
def test_b(ledger_url):
    p = subprocess.run([sys.executable, "/tmp/w/bench_fleet.py", ledger_url], env={**os.environ,"PYTHONPATH":"/work/main"}, capture_output=True, text=True)
    print(p.stdout, p.stderr[-3000:])
