using Microsoft.Playwright;
using Xunit;

namespace KantaGateway.Browser;

/// <summary>Looks at pages in three languages, by axe, on a computer and on a phone, and keeps pictures beside the tests: in Finnish, and with <c>KANTA_SCREENS=all</c> in every language.</summary>
/// <param name="personal">What must stand neither in an address nor in a title.</param>
sealed class PageLook(IReadOnlyList<string> personal)
{
    private static readonly (string Code, string Name)[] Languages = [("sv", "Svenska"), ("en", "English"), ("fi", "Suomi")];
    private static readonly bool ShootsAll = Environment.GetEnvironmentVariable("KANTA_SCREENS") == "all";
    private static readonly string Screens = Path.Combine(AppContext.BaseDirectory, "screens");

    private readonly List<string> _faults = [];

    public void AssertFaultless() => Assert.True(_faults.Count == 0, string.Join('\n', _faults.Distinct()));

    /// <summary>Looks at a page in every language; leaves it in Finnish.</summary>
    public async Task LookAsync(IPage page, string name)
    {
        foreach (var (code, label) in Languages)
        {
            await page.ClickAsync($".languages a[hreflang={code}]");
            await page.WaitForSelectorAsync($"html[lang={code}]", new() { State = WaitForSelectorState.Attached });
            Assert.Equal(label, await page.InnerTextAsync(".languages a[aria-current]"));
            await ShootAsync(page, name, code);
        }
    }

    /// <summary>A picture on a computer by day and on a phone by night, axe, and no sideways scrolling on the narrowest.</summary>
    public async Task ShootAsync(IPage page, string name, string language)
    {
        Directory.CreateDirectory(Screens);
        // Languages differ in length, not in structure: on the phone one is enough, and for pictures.
        foreach (var (width, height) in language == "fi" || ShootsAll ? ((int, int)[])[(1280, 900), (390, 844)] : [(1280, 900)])
        {
            await page.SetViewportSizeAsync(width, height);
            // By night on the phone, by day on the computer: axe sees the contrasts of both.
            await page.EmulateMediaAsync(new() { ColorScheme = width < 600 ? ColorScheme.Dark : ColorScheme.Light });
            if (language == "fi" || ShootsAll)
                await page.ScreenshotAsync(new() { Path = Path.Combine(Screens, $"{name}.{language}.{width}.png"), FullPage = true });
            if (language == "fi" && await Baselines.FaultAsync(page, name, width) is { } look)
                _faults.Add($"{name} {width}: {look}");
            _faults.AddRange((await Chromium.FaultsAsync(page)).Select(fault => $"{name} {language} {width}: {fault}"));
        }
        await page.EmulateMediaAsync(new() { ColorScheme = ColorScheme.Light });
        await page.SetViewportSizeAsync(320, 640);
        if (await page.EvaluateAsync<int>("document.documentElement.scrollWidth") > 320)
            _faults.Add($"{name} {language}: scrolls sideways at 320 px");
        await page.SetViewportSizeAsync(1280, 900);

        var outside = $"{page.Url} {await page.TitleAsync()}";
        if (personal.Any(name => outside.Contains(name, StringComparison.OrdinalIgnoreCase)))
            _faults.Add($"{name} {language}: the address or the title names a person");
    }

    /// <summary>What the browser complains about is a fault, above all the content security policy; a refused page itself is not.</summary>
    public void Watch(IPage page)
    {
        page.Console += (_, message) =>
        {
            if (message.Type is "error" or "warning" && !message.Text.Contains("status of 4", StringComparison.Ordinal) && !message.Text.Contains("status of 503", StringComparison.Ordinal))
                _faults.Add($"{new Uri(page.Url).AbsolutePath}: {message.Text}");
        };
        page.PageError += (_, error) => _faults.Add($"{new Uri(page.Url).AbsolutePath}: {error}");
    }
}
