using Deque.AxeCore.Commons;
using Deque.AxeCore.Playwright;
using Microsoft.Playwright;

namespace KantaGateway.Browser;

/// <summary>Debian's Chromium as a citizen with a phone or a computer uses it; it is never downloaded.</summary>
sealed class Chromium : IAsyncDisposable
{
    // The shell without windows: the same pages and the same engine, for a third of the processor time.
    private const string Executable = "/usr/bin/chromium-headless-shell";

    /// <summary>WCAG 2.2 A and AA, and what axe calls best practice.</summary>
    private static readonly AxeRunOptions Rules = new()
    {
        RunOnly = RunOnlyOptions.Tags("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"),
        // What is in order is not written down element by element.
        ResultTypes = [ResultType.Violations],
    };

    private readonly IPlaywright _playwright;
    private readonly IBrowser _browser;

    private Chromium(IPlaywright playwright, IBrowser browser) => (_playwright, _browser) = (playwright, browser);

    public static async Task<Chromium> StartAsync()
    {
        var playwright = await Playwright.CreateAsync();
        return new(playwright, await playwright.Chromium.LaunchAsync(new()
        {
            ExecutablePath = Executable,
            Args =
            [
                "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
                "--disable-component-update", "--disable-sync",
            ],
        }));
    }

    /// <summary>A fresh browser profile with Finnish as its language.</summary>
    /// <param name="script">False: scripts of pages do not run.</param>
    public async Task<IPage> OpenAsync(string address, bool script = true)
    {
        var context = await _browser.NewContextAsync(new()
        {
            BaseURL = address,
            // The development authority is made anew for every data folder.
            IgnoreHTTPSErrors = true,
            JavaScriptEnabled = script,
            Locale = "fi-FI",
            ViewportSize = new() { Width = 1280, Height = 900 },
        });
        context.SetDefaultTimeout(60_000);
        return await context.NewPageAsync();
    }

    /// <summary>What axe finds wrong with the page now: rule and elements, one line each.</summary>
    public static async Task<IReadOnlyList<string>> FaultsAsync(IPage page)
    {
        var result = await page.RunAxe(Rules);
        return [.. result.Violations.Select(v => $"{v.Id}: {v.Help}: {string.Join(" ", v.Nodes.Take(3).Select(n => n.Html))}")];
    }

    public async ValueTask DisposeAsync()
    {
        await _browser.DisposeAsync();
        _playwright.Dispose();
    }
}
