using System.Globalization;
using Microsoft.Playwright;
using Xunit;

namespace KantaGateway.Browser;

/// <summary>What the first load of a page costs on a cheap phone's line. Bytes are held to; times, which depend on the machine, are kept beside the pictures.</summary>
static class FirstLoad
{
    /// <summary>All that a page may carry over the line, with style sheets, script and font.</summary>
    private const long MostBytes = 150_000;

    private static readonly string Kept = Path.Combine(AppContext.BaseDirectory, "screens", "first-load.csv");

    /// <summary>Loads a page with nothing in the cache, over Slow 4G: 1.6 Mbit/s down, 0.75 up, 150 ms.</summary>
    /// <param name="page">Whose session and language it is; it stays where it is.</param>
    public static async Task TakeAsync(IPage page, string path)
    {
        var fresh = await page.Context.NewPageAsync();
        var line = await page.Context.NewCDPSessionAsync(fresh);
        await line.SendAsync("Network.enable");
        await line.SendAsync("Network.clearBrowserCache");
        await line.SendAsync("Network.emulateNetworkConditions", new() { ["offline"] = false, ["latency"] = 150, ["downloadThroughput"] = 1_600_000 / 8, ["uploadThroughput"] = 750_000 / 8 });
        var bytes = 0.0;
        line.Event("Network.loadingFinished").OnEvent += (_, finished) => bytes += finished!.Value.GetProperty("encodedDataLength").GetDouble();
        await fresh.GotoAsync(path, new() { WaitUntil = WaitUntilState.NetworkIdle });
        var paint = await fresh.EvaluateAsync<double>("""
            () => new Promise(told => new PerformanceObserver(seen => told(seen.getEntries().at(-1).startTime)).observe({ type: 'largest-contentful-paint', buffered: true }))
            """);
        await fresh.CloseAsync();
        Directory.CreateDirectory(Path.GetDirectoryName(Kept)!);
        await File.AppendAllTextAsync(Kept, string.Create(CultureInfo.InvariantCulture, $"{path},{bytes:0} bytes,{paint:0} ms to the largest paint\n"));
        Assert.InRange(bytes, 1, MostBytes);
    }
}
