using System.Net;
using System.Text;
using System.Text.RegularExpressions;
using KantaGateway.Gateway.Consent;

namespace KantaGateway.Tests.Portal;

/// <summary>What the citizen has declared, and no longer holds (Act 703/2023 §58).</summary>
public sealed partial class HistoryPagesTests : IAsyncLifetime
{
    private PortalUnderTest _portal = null!;

    public async Task InitializeAsync() => _portal = await PortalUnderTest.StartAsync();

    public async Task DisposeAsync() => await _portal.DisposeAsync();

    [Fact]
    public async Task What_is_no_longer_in_force_stays_in_the_history_and_says_so()
    {
        Assert.Contains("You have not declared anything yet.", (await _portal.GetAsync("/consent/history")).Html);
        await _portal.PostAsync("/consent/inform", new() { ["version"] = "2026-2", ["informed"] = "yes" });
        await _portal.PostAsync("/consent/permit", new() { ["permit"] = "yes" });
        var permit = (string)_portal.Record.Of("Consent").Last()["id"]!;
        await _portal.PostAsync("/consent/withdraw", new() { ["id"] = permit }, page: $"/consent/withdraw?id={permit}");
        await _portal.PostAsync("/consent/deny", new() { ["target"] = "all" });
        var (status, html, _) = await _portal.GetAsync("/consent/history");
        Assert.Equal(HttpStatusCode.OK, status);
        var declared = Declared().Matches(html).Select(m => (Id: m.Groups[1].Value, Card: html[m.Index..html.IndexOf("</li>", m.Index, StringComparison.Ordinal)])).ToList();
        Assert.Equal(_portal.Record.Of("Consent").Select(c => (string)c["id"]!).Order(), declared.Select(d => d.Id).Order());
        Assert.Contains("Withdrawn", declared.Single(d => d.Id == permit).Card);
        Assert.All(declared.Where(d => d.Id != permit), d => Assert.Contains("In force", d.Card));
        Assert.All(declared, d => Assert.Contains($"/consent/print?id={d.Id}", d.Card));
        Assert.Contains("href=\"/consent/history\"", (await _portal.GetAsync("/consent")).Html);
    }

    [Fact]
    public async Task The_newest_comes_first_and_every_declaration_is_on_some_page()
    {
        var ids = Enumerable.Range(0, 60).Select(i => _portal.Record.Add(Encoding.UTF8.GetString(
            Declarations.Informing(_portal.Record.PatientId, new DateTimeOffset(2025, 1, 1, 10, 0, 0, TimeSpan.Zero).AddDays(i * 7 % 60))))).ToList();
        var seen = new List<string>();
        for (var page = 1; page <= 2; page++)
            seen.AddRange(Declared().Matches((await _portal.GetAsync($"/consent/history?page={page}")).Html).Select(m => m.Groups[1].Value));
        Assert.Equal(ids.Index().OrderByDescending(i => i.Index * 7 % 60).Select(i => i.Item), seen);
    }

    [GeneratedRegex("data-declared=\"([^\"]*)\"")]
    private static partial Regex Declared();
}
