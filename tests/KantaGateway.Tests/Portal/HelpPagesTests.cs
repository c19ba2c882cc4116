using System.Globalization;
using System.Net;
using KantaGateway.Fhir.Grants;
using KantaGateway.Gateway.Portal.Pages;

namespace KantaGateway.Tests.Portal;

/// <summary>Help, and the accessibility statement (Act 306/2019).</summary>
public sealed class HelpPagesTests
{
    [Fact]
    public async Task The_help_names_everything_that_is_specially_protected()
    {
        var services = Enum.GetValues<ProtectedService>().Except([ProtectedService.None, ProtectedService.Unknown]).Select(service => service.ToString());
        Assert.Equal(services.Order(), HelpModel.Protected.Select(key => string.Concat(key.Split('-').Select(part => CultureInfo.InvariantCulture.TextInfo.ToTitleCase(part)))).Order());
        await using var portal = await PortalUnderTest.StartAsync();
        var (status, html, _) = await portal.GetAsync("/help", cookies: null);
        Assert.Equal(HttpStatusCode.OK, status);
        foreach (var said in (string[])["psychotherapy", "medical genetics", "Disclosure permission", "Call 112"])
            Assert.Contains(said, html);
        Assert.Empty(portal.Record.Asked);
    }

    [Theory]
    [InlineData(null, "has not given an address", "href=\"mailto:palaute")]
    [InlineData("palaute@kanta.example", "href=\"mailto:palaute@kanta.example\"", "has not given an address")]
    [InlineData("https://kanta.example/palaute", "href=\"https://kanta.example/palaute\"", "has not given an address")]
    public async Task The_statement_says_the_state_what_is_lacking_where_to_report_it_and_who_supervises(string? feedback, string said, string unsaid)
    {
        await using var portal = await PortalUnderTest.StartAsync(options: options => options with { AccessibilityFeedback = feedback });
        var (status, html, _) = await portal.GetAsync("/accessibility", cookies: null);
        Assert.Equal(HttpStatusCode.OK, status);
        foreach (var part in (string[])["306/2019", "in part", "WCAG 1.3.1", "within 14 days", "Traficom", "saavutettavuus@traficom.fi", "href=\"https://www.webaccessibility.fi\"", said])
            Assert.Contains(part, html);
        Assert.DoesNotContain(unsaid, html);
        Assert.Contains("href=\"/accessibility\"", (await portal.GetAsync("/")).Html);
    }
}
