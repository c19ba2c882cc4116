using Microsoft.Playwright;

namespace KantaGateway.Browser;

/// <summary>
/// How pages that say the same to everybody looked when somebody last looked at them, in the folder of the same name. With <c>KANTA_BASELINES=write</c> the walk writes them anew: look at each before it is committed.
/// </summary>
static class Baselines
{
    /// <summary>Share of the pixels that may differ: what another build of Chromium does to the edges of letters stays below.</summary>
    private const double Tolerance = 0.01;

    private static readonly string Folder = Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, "..", "..", "..", "Baselines"));
    private static readonly bool IsWritten = Environment.GetEnvironmentVariable("KANTA_BASELINES") == "write";

    private static readonly HashSet<string> Names = ["01-start", "02-about", "02-help", "03-not-found"];

    /// <summary>Compares what is seen of the page now.</summary>
    /// <returns>What is wrong; null: it looks as it did, or has no baseline.</returns>
    public static async Task<string?> FaultAsync(IPage page, string name, int width)
    {
        if (!Names.Contains(name))
            return null;
        // Times differ, and the end of the session is one.
        var now = await page.ScreenshotAsync(new() { Mask = [page.Locator("time, [data-session-ends]")], MaskColor = "#808080", Animations = ScreenshotAnimations.Disabled, Caret = ScreenshotCaret.Hide });
        var file = Path.Combine(Folder, $"{name}.{width}.png");
        if (IsWritten)
        {
            Directory.CreateDirectory(Folder);
            await File.WriteAllBytesAsync(file, now);
            return null;
        }
        if (!File.Exists(file))
            return $"there is no baseline {Path.GetFileName(file)}";
        var differs = await DifferenceAsync(page.Context, await File.ReadAllBytesAsync(file), now);
        return differs <= Tolerance ? null : FormattableString.Invariant($"{differs:P1} of it look otherwise than in {Path.GetFileName(file)}");
    }

    // In the browser, which reads pictures anyway; on a page of its own, for those of the portal allow no script but theirs.
    private static async Task<double> DifferenceAsync(IBrowserContext context, byte[] before, byte[] now)
    {
        var page = await context.NewPageAsync();
        try
        {
            return await page.EvaluateAsync<double>("""
                async pictures => {
                    const [before, now] = await Promise.all(pictures.map(async base64 => {
                        const picture = await createImageBitmap(new Blob([Uint8Array.from(atob(base64), c => c.charCodeAt(0))], { type: "image/png" }));
                        const canvas = new OffscreenCanvas(picture.width, picture.height).getContext("2d");
                        canvas.drawImage(picture, 0, 0);
                        return canvas.getImageData(0, 0, picture.width, picture.height);
                    }));
                    if (before.width !== now.width || before.height !== now.height) return 1;
                    let differ = 0;
                    for (let at = 0; at < now.data.length; at += 4)
                        if ([0, 1, 2].some(part => Math.abs(before.data[at + part] - now.data[at + part]) > 32)) differ++;
                    return differ / (now.data.length / 4);
                }
                """, new[] { Convert.ToBase64String(before), Convert.ToBase64String(now) });
        }
        finally
        {
            await page.CloseAsync();
        }
    }
}
