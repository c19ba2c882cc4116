using Microsoft.Playwright;
using Xunit;

namespace KantaGateway.Browser;

/// <summary>Uses a page with the keyboard alone (WCAG 2.2, 2.1.1, 2.4.3, 2.4.7): what cannot be reached with the tab key, or does not show that it is, is a fault.</summary>
static class PageKeys
{
    /// <summary>More than any page has places to stop at.</summary>
    private const int MostStops = 400;

    /// <summary>Goes to the first element of a selector with the tab key, and presses Enter there.</summary>
    public static async Task PressAsync(this IPage page, string selector) => await (await page.ReachAsync(selector)).PressAsync("Enter");

    /// <summary>Goes to a check box and marks it with the space bar, or to its group of choices and to it with the arrow keys.</summary>
    public static async Task ChooseAsync(this IPage page, string selector)
    {
        var choice = page.Locator(selector);
        if (await choice.GetAttributeAsync("type") == "checkbox")
            await (await page.ReachAsync(selector)).PressAsync("Space");
        else
        {
            await page.ReachAsync($"input[type=radio][name='{await choice.GetAttributeAsync("name")}']", isAny: true);
            await page.Keyboard.PressAsync("Space");
            for (var moves = 0; !await choice.IsCheckedAsync(); moves++)
            {
                Assert.True(moves < MostStops, $"{page.Url}: no arrow leads to {selector}.");
                await page.Keyboard.PressAsync("ArrowDown");
            }
        }
        await Assertions.Expect(choice).ToBeCheckedAsync();
    }

    /// <param name="isAny">Any element of the selector will do.</param>
    private static async Task<ILocator> ReachAsync(this IPage page, string selector, bool isAny = false)
    {
        var target = page.Locator(selector).First;
        await target.WaitForAsync();
        var here = isAny ? page.Locator("body") : target;
        for (var stops = 0; stops < MostStops; stops++)
        {
            var at = await here.EvaluateAsync<string>("""
                (place, any) => {
                    const on = document.activeElement;
                    if (any ? !on?.matches(any) : on !== place) return "elsewhere";
                    const style = getComputedStyle(on);
                    return style.outlineStyle === "none" || parseFloat(style.outlineWidth) === 0 ? "unseen" : "here";
                }
                """, isAny ? selector : null);
            if (at != "elsewhere")
            {
                Assert.True(at == "here", $"{page.Url}: {selector} does not show that it has the focus.");
                return target;
            }
            await page.Keyboard.PressAsync("Tab");
        }
        throw new Xunit.Sdk.XunitException($"{page.Url}: the tab key does not lead to {selector}.");
    }
}
