using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using KantaGateway.Dev;
using KantaGateway.Gateway.Breach;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Playwright;
using Xunit;

namespace KantaGateway.Browser;

/// <summary>Operators onboard a clinic in a real browser, and see to cases and containment; and the pages that tell of too much and of an outage.</summary>
public sealed class OperatorWalkTests : IAsyncLifetime
{
    private readonly string _data = Directory.CreateTempSubdirectory("kanta-browser-").FullName;
    private readonly PageLook _look = new(["Olga", "Heikki", "Tarja"]);
    private Process _redis = null!;
    private DevHost _host = null!;
    private Chromium _chromium = null!;

    public async Task InitializeAsync()
    {
        var socket = Path.Combine(_data, "redis.sock");
        _redis = Process.Start(new ProcessStartInfo("redis-server", ["--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", _data]) { RedirectStandardOutput = true })!;
        while (await _redis.StandardOutput.ReadLineAsync() is { } line && !line.Contains("connections at", StringComparison.OrdinalIgnoreCase))
        {
        }
        _host = await DevHost.StartAsync(new() { Port = CitizenWalkTests.FreePorts(), OperatorsPort = CitizenWalkTests.FreePorts(), DataFolder = Path.Combine(_data, "state"), Redis = $"!{socket},asyncTimeout=1000,connectTimeout=500" });
        _chromium = await Chromium.StartAsync();
    }

    public async Task DisposeAsync()
    {
        await _chromium.DisposeAsync();
        await _host.DisposeAsync();
        await StopRedisAsync();
        _redis.Dispose();
        Directory.Delete(_data, recursive: true);
    }

    [Fact]
    public async Task An_operator_fills_in_a_registration_and_another_approves_of_it()
    {
        var page = await SignInAsync(0);
        await _look.LookAsync(page, "41-operator-home");
        await page.PressAsync("a[href='/operator/propose']");
        await _look.LookAsync(page, "42-operator-propose");

        // What is wrong stands beside its field.
        await page.FillAsync("#client_id", "a b");
        await page.FillAsync("#organisation_oid", "1.2.");
        await page.FillAsync("#scopes", "everything");
        await page.PressAsync("#propose-form button[type=submit]");
        await page.WaitForSelectorAsync("[data-error] [data-fault=ClientId]");
        foreach (var member in new[] { "client_id", "organisation_oid", "organisation_name", "jwks_uri", "scopes" })
            await page.WaitForSelectorAsync($"[data-field={member}] .field-error");
        await _look.ShootAsync(page, "43-operator-propose-wrong", "fi");

        await page.FillAsync("#client_id", "uusi-klinikka");
        await page.FillAsync("#organisation_oid", "1.2.246.10.99000077");
        await page.FillAsync("#organisation_name", "Uusi Klinikka Oy");
        await page.FillAsync("#system_name", "Potilasjärjestelmä");
        await page.FillAsync("#jwks_uri", "https://uusi-klinikka.example/jwks");
        await page.FillAsync("#service_requesters", "1.2.246.10.99000077 | private | Uusi Klinikka Oy\n1.2.246.10.99000078 | occupational | Uusi Työterveys Oy");
        await page.FillAsync("#scopes", "system/*.cruds\nuser/*.cruds");
        await page.PressAsync("#propose-form button[type=submit]");
        await page.WaitForSelectorAsync("[data-notice=operator-proposed]");
        await _look.LookAsync(page, "44-operator-proposed");

        var second = await SignInAsync(1);
        await second.PressAsync("[data-proposal] a");
        await _look.LookAsync(second, "45-operator-proposal");
        await second.PressAsync("button[value=approve]");
        await second.WaitForSelectorAsync("[data-client=uusi-klinikka][data-status=active]");
        // What is in force stands in the form, to be changed.
        await second.PressAsync("[data-client=uusi-klinikka] a");
        Assert.Equal("1.2.246.10.99000077", await second.InputValueAsync("#organisation_oid"));
        await _look.ShootAsync(second, "46-operator-change", "fi");
        _look.AssertFaultless();
    }

    [Fact]
    public async Task An_officer_looks_at_cases_contains_and_another_ends_it()
    {
        var cases = _host.Gateway.Services.GetRequiredService<BreachCases>();
        var number = (await cases.OpenAsync(BreachKind.Reported, "A door stood open over night.", new("Heikki", null))).Number;
        await cases.AddStepAsync(number, BreachStepKind.Note, "Heikki", note: "The locks were changed.");
        var page = await SignInAsync(2);
        await page.PressAsync("nav a[href='/operator/cases']");
        await page.WaitForSelectorAsync($"[data-case='{number}'][data-state=Running]");
        await _look.LookAsync(page, "47-operator-cases");
        await page.PressAsync($"[data-case='{number}'] a");
        // The journal, and the end that two decide.
        await page.SelectOptionAsync("#kind", "AuthorityNotified");
        await page.PressAsync("#step-form button");
        await page.WaitForSelectorAsync("[data-error]");
        await _look.ShootAsync(page, "48-operator-step-wrong", "fi");
        await page.FillAsync("#to", "Tietosuojavaltuutettu");
        await page.FillAsync("#reference", "TSV/1/2026");
        await page.PressAsync("#step-form button");
        await page.WaitForSelectorAsync("[data-clock=DataProtectionAuthority][data-state=Done]");
        await page.FillAsync("#finding", "The locks were changed, and nobody had come in.");
        await page.PressAsync("#act-form button");
        await page.WaitForSelectorAsync("[data-act][data-kind=BreachCaseEnd][data-status=Open]");
        await _look.LookAsync(page, "48-operator-case");
        await page.PressAsync($"a[href='/operator/cases/{number}/notices']");
        await page.SetInputFilesAsync("#list", new FilePayload
        {
            Name = "list.json", MimeType = "application/json",
            Buffer = """{"words":{"fi":{"what":"Ovi oli auki.","consequences":"Tietoja voi olla viety.","measures":"Lukot vaihdettiin."},"sv":{"what":"En dörr stod öppen.","consequences":"Uppgifter kan ha tagits.","measures":"Låsen byttes."},"en":{"what":"A door stood open.","consequences":"Data may be gone.","measures":"The locks were changed."},"contact":"Toivo Koe"},"persons":[{}]}"""u8.ToArray(),
        });
        await page.PressAsync("#look-form button");
        await page.WaitForSelectorAsync("[data-persons='1'][data-digest]");
        await _look.ShootAsync(page, "48-operator-notices", "fi");
        await page.GotoAsync($"/operator/cases/{number}/notices");
        await _look.LookAsync(page, "48-operator-notices-empty");
        await page.PressAsync("nav a[href='/operator/report']");
        await _look.LookAsync(page, "48-operator-report");
        await page.PressAsync("nav a[href='/operator/standing']");
        await page.WaitForSelectorAsync("[data-figure=cases]");
        await _look.LookAsync(page, "48-operator-standing");
        await page.PressAsync("nav a[href='/operator/emergencies']");
        await page.WaitForSelectorAsync("[data-waiting='0']");
        await _look.LookAsync(page, "48-operator-emergencies");
        await page.PressAsync("nav a[href='/operator/log']");
        await page.WaitForSelectorAsync("[data-log]");
        await _look.LookAsync(page, "48-operator-log");

        const string Stolen = "organisation/1.2.246.10.99000099";
        await page.PressAsync("nav a[href='/operator/contained']");
        await page.FillAsync("#subject", "somebody");
        await page.FillAsync("#reason", "The key was stolen.");
        await page.PressAsync("#contain-form button");
        await page.WaitForSelectorAsync("[data-error]");
        await _look.ShootAsync(page, "49-operator-contain-wrong", "fi");
        await page.FillAsync("#subject", Stolen);
        await page.PressAsync("#contain-form button");
        await page.WaitForSelectorAsync($"[data-contained='{Stolen}']");
        await _look.LookAsync(page, "49-operator-contained");
        await page.FillAsync($"[data-contained='{Stolen}'] input[name=reason]", "The clinic has another one.");
        await page.PressAsync($"[data-contained='{Stolen}'] button");
        await page.WaitForSelectorAsync($"[data-end][data-subject='{Stolen}']");

        var second = await SignInAsync(1);
        await second.PressAsync("nav a[href='/operator/contained']");
        await _look.LookAsync(second, "49-operator-end");
        await second.PressAsync($"[data-end][data-subject='{Stolen}'] button[value=approve]");
        await second.WaitForSelectorAsync("[data-notice=operator-end-approved]");
        Assert.Equal(0, await second.Locator($"[data-contained='{Stolen}']").CountAsync());
        await second.PressAsync("nav a[href='/operator/cases']");
        await second.PressAsync($"[data-case='{number}'] a");
        await second.PressAsync("[data-act] button[value=approve]");
        await second.WaitForSelectorAsync("[data-notice=operator-act-approved]");
        await second.PressAsync("[data-act] button[value=carry-out]");
        await second.WaitForSelectorAsync("[data-notice=operator-act-done]");
        Assert.False(cases.IsOpen(number));

        // The next wrapping key begins its service, and all data keys come under it.
        await second.PressAsync("nav a[href='/operator/ceremonies']");
        await second.WaitForSelectorAsync("[data-progress=data-keys][data-version='1']");
        await second.FillAsync("#version", "2");
        await second.PressAsync("#ceremony-form button");
        await second.WaitForSelectorAsync("[data-act][data-status=Open]");
        await _look.LookAsync(second, "50-operator-ceremonies");
        var third = await SignInAsync(0);
        await third.PressAsync("nav a[href='/operator/ceremonies']");
        await third.PressAsync("[data-act] button[value=approve]");
        await third.PressAsync("[data-act][data-status=Approved] button[value=carry-out]");
        await third.WaitForSelectorAsync("[data-act][data-status=CarriedOut]");
        while (await third.Locator("[data-progress=data-keys][data-version='2'][data-left='0']").CountAsync() == 0)
            await third.ReloadAsync();
        // What citizens have is not there, and their origin has nothing of this.
        Assert.Equal(404, (await third.GotoAsync("/records"))!.Status);
        await _look.ShootAsync(third, "50-operator-not-found", "fi");
        Assert.Equal(404, (await third.GotoAsync(_host.Address + "/operator/ceremonies"))!.Status);
        _look.AssertFaultless();
    }

    [Fact]
    public async Task Too_much_and_an_outage_are_told_in_plain_words()
    {
        const string Nothing = "/connect/authorize?client_id=none&request_uri=none";
        foreach (var from in new[] { IPAddress.Loopback, IPAddress.IPv6Loopback })
        {
            var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
            policy.CustomTrustStore.ImportFromPemFile(Path.Combine(_data, "state", "ca.pem"));
            using var http = new HttpClient(new SocketsHttpHandler
            {
                AllowAutoRedirect = false,
                SslOptions = { CertificateChainPolicy = policy },
                ConnectCallback = async (context, cancel) =>
                {
                    var socket = new Socket(from.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
                    await socket.ConnectAsync(from, context.DnsEndPoint.Port, cancel);
                    return new NetworkStream(socket, ownsSocket: true);
                },
            });
            for (var i = 0; i < DevHostOptions.FailuresPerMinute; i++)
                using (await http.GetAsync(new Uri(_host.Address + Nothing))) { }
        }
        var page = await _chromium.OpenAsync(_host.Address);
        _look.Watch(page);
        Assert.Equal(429, (await page.GotoAsync(Nothing))!.Status);
        await _look.ShootAsync(page, "51-too-many", "fi");

        page = await SignInAsync(0);
        await StopRedisAsync();
        Assert.Equal(503, (await page.GotoAsync("/operator"))!.Status);
        await _look.ShootAsync(page, "52-outage", "fi");
        _look.AssertFaultless();
    }

    private async Task<IPage> SignInAsync(int who)
    {
        var page = await _chromium.OpenAsync(_host.OperatorsAddress);
        _look.Watch(page);
        await page.GotoAsync("/");
        await _look.ShootAsync(page, "40-operator-start", "fi");
        await Assertions.Expect(page).ToHaveURLAsync("/operator/start");
        await page.PressAsync("#operator-sign-in");
        await page.PressAsync($"button[name=operator][value='{who}']");
        await Assertions.Expect(page).ToHaveURLAsync("/operator", new() { Timeout = 60_000 });
        return page;
    }

    private async Task StopRedisAsync()
    {
        if (_redis.HasExited)
            return;
        _redis.Kill();
        await _redis.WaitForExitAsync();
    }
}
