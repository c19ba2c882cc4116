using System.Globalization;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using System.Web;
using KantaGateway.Dev;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Operations.Witnesses;
using KantaGateway.Harness.Clients;
using KantaGateway.Harness.Verification;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Playwright;
using Xunit;

namespace KantaGateway.Browser;

/// <summary>
/// The citizen's half of the main scenario in a real browser against the development host, while clinics do theirs over
/// the public contract. Every page is looked at in three languages, by axe, on a computer and on a phone.
/// </summary>
public sealed class CitizenWalkTests : IAsyncLifetime
{
    private readonly string _data = Directory.CreateTempSubdirectory("kanta-browser-").FullName;
    private PageLook _look = null!;
    private DevHost _host = null!;
    private Chromium _chromium = null!;
    private DevFolder _folder = null!;
    private ClinicClient _archivist = null!;
    private ClinicClient _reader = null!;
    private int _citizen;

    public async Task InitializeAsync()
    {
        _host = await DevHost.StartAsync(new() { Port = FreePorts(), DataFolder = _data, Witnesses = true });
        _folder = new(_data);
        _citizen = _folder.Citizens.Select((c, i) => (c, i)).First(c => c.c.Role.Contains("adult", StringComparison.OrdinalIgnoreCase)).i;
        _look = new([.. _folder.Citizens[_citizen].Name.Split(' '), _folder.Citizens[_citizen].IdentityCode]);
        _archivist = ClinicClient.Open(_folder, "aurora", new(_host.Address));
        _reader = ClinicClient.Open(_folder, "revontuli", new(_host.Address));
        _chromium = await Chromium.StartAsync();
    }

    public async Task DisposeAsync()
    {
        await _chromium.DisposeAsync();
        _archivist.Dispose();
        _reader.Dispose();
        await _host.DisposeAsync();
        Directory.Delete(_data, recursive: true);
    }

    [Fact]
    public async Task A_citizen_is_informed_permits_denies_and_sees_who_has_read()
    {
        var (visit, professional) = await ArchiveAsync();
        var page = await _chromium.OpenAsync(_host.Address);
        Watch(page);

        // Signed out: what it is for, and the way in.
        await page.GotoAsync("/");
        await LookAsync(page, "01-start");
        await page.GotoAsync("/records");
        await Expect(page, "[data-notice=sign-in-first]");
        await page.GotoAsync("/about");
        await LookAsync(page, "02-about");
        await page.GotoAsync("/help");
        await LookAsync(page, "02-help");
        await page.PressAsync(".site-footer a[href='/accessibility']");
        await LookAsync(page, "02-accessibility");
        await page.GotoAsync("/no-such-page");
        await LookAsync(page, "03-not-found");

        // Identified by means of another country: told what to do.
        await page.GotoAsync("/");
        await page.PressAsync("#sign-in");
        await page.PressAsync($"button[name=citizen][value='{_folder.Citizens.Count.ToString(CultureInfo.InvariantCulture)}']");
        await Expect(page, "h2#none");
        await LookAsync(page, "03-without-identity-code");

        // Signed in through the broker.
        await page.GotoAsync("/");
        await page.PressAsync("#sign-in");
        await page.PressAsync($"button[name=citizen][value='{_citizen.ToString(CultureInfo.InvariantCulture)}']");
        await ExpectStartAsync(page);
        await Expect(page, "[data-session-ends]");
        await LookAsync(page, "04-signed-in");

        // Own records.
        await page.PressAsync("nav a[href='/records']");
        await Expect(page, $"[data-entry-type=Encounter][data-service-event='{visit.ServiceEvent}']");
        await Expect(page, ".incomplete");
        await LookAsync(page, "05-records");
        await page.PressAsync("a[href='/records/timeline']");
        await LookAsync(page, "06-timeline");
        foreach (var path in (string[])["/", "/records", "/records/timeline", "/help"])
            await FirstLoad.TakeAsync(page, path);
        await page.PressAsync("details:has(#filter-form) summary");
        await page.FillAsync("#words", "penisilliini nokkos");
        await ShootAsync(page, "06-filter", "fi");
        await page.PressAsync("#filter-form button");
        await Expect(page, "[data-found='1']");
        await Expect(page, "[data-entry-type=AllergyIntolerance]");
        Assert.EndsWith("/records/timeline", page.Url);
        await ShootAsync(page, "06-found", "fi");
        await page.GotoAsync("/records/kind/results");
        await LookAsync(page, "07-results");
        // Two results of one thing: how it has changed, without a script.
        await page.PressAsync("details:has([data-trend-of]) summary");
        await page.PressAsync("[data-trend-of]");
        await Expect(page, "svg.trend[role=img] polyline");
        await LookAsync(page, "07-trend");
        await page.GotoAsync("/records/kind/notes");
        await page.PressAsync("[data-entry-type=DocumentReference] a");
        await Expect(page, "text=Nukahtaminen on helpottunut");
        await LookAsync(page, "08-note");
        await page.GotoAsync("/records/kind/visits");
        await page.PressAsync($"[data-service-event='{visit.ServiceEvent}'] a");
        await Expect(page, "[data-entry-type=Condition]");
        await LookAsync(page, "09-visit");
        await RectifyAsync(page);
        await DownloadAsync(page);

        // No permission before informing.
        await page.GotoAsync("/consent");
        await Expect(page, "[data-consent-state][data-informed=''][data-permission='']");
        await LookAsync(page, "10-consent-not-informed");
        await page.GotoAsync("/consent/permit");
        await Expect(page, "[data-notice=inform-first]");
        await LookAsync(page, "11-inform");
        await page.PressAsync("#inform-form button");
        await Expect(page, "[data-error]");
        await ShootAsync(page, "12-inform-error", "fi");
        await page.ChooseAsync("#informed");
        await page.PressAsync("#inform-form button");
        await Expect(page, "[data-notice=informed]");
        await ShootAsync(page, "13-informed", "fi");

        // The permission opens the record to the other clinic.
        Assert.Equal(404, await ReadsAsync(professional, visit));
        await page.PressAsync("a[href='/consent/permit']");
        await LookAsync(page, "14-permit");
        await page.PressAsync("#permit-form button");
        await Expect(page, "[data-notice=permitted]");
        await ShootAsync(page, "15-permitted", "fi");
        Assert.Equal(200, await ReadsAsync(professional, visit));

        // A denial of everything closes it again, at once.
        await page.PressAsync("a[href='/consent/deny']");
        await page.PressAsync("#deny-form button");
        await Expect(page, "[data-error]");
        await ShootAsync(page, "16-deny-error", "fi");
        await page.ChooseAsync("#target-all");
        await page.PressAsync("#deny-form button");
        await Expect(page, "[data-denial][data-target=all]");
        await LookAsync(page, "17-denied-all");
        Assert.Equal(404, await ReadsAsync(professional, visit));

        await page.PressAsync("[data-denial] a");
        await LookAsync(page, "18-withdraw-denial");
        await page.PressAsync("#withdraw-form button");
        await Expect(page, "[data-consent-state][data-denials='0']");
        Assert.Equal(200, await ReadsAsync(professional, visit));

        // A denial of one visit, chosen from the visit itself.
        await page.GotoAsync("/records/kind/visits");
        await page.PressAsync($"[data-service-event='{visit.ServiceEvent}'] a");
        await page.PressAsync("a[href^='/consent/deny']");
        Assert.Equal(visit.ServiceEvent, await page.InputValueAsync("#event"));
        await LookAsync(page, "19-deny-visit");
        await page.PressAsync("#deny-form button");
        await Expect(page, $"[data-denial][data-target=event][data-service-event='{visit.ServiceEvent}']");
        await LookAsync(page, "20-denied-visit");
        Assert.Equal(404, await ReadsAsync(professional, visit));

        // The permission is withdrawn.
        await page.PressAsync("section[aria-labelledby=permit-title] a");
        await LookAsync(page, "21-withdraw-permission");
        await page.PressAsync("#withdraw-form button");
        await Expect(page, "[data-notice=permit-withdrawn]");

        // Who has read: the other clinic, on the permission.
        await page.PressAsync("nav a[href='/access-log']");
        await Expect(page, "[data-access][data-legal-basis=disclosure-permission][data-purpose=TREAT]");
        await LookAsync(page, "22-access-log");
        foreach (var language in (string[])["sv", "en", "fi"])
        {
            await page.PressAsync($".languages a[hreflang={language}]");
            await Expect(page, $"html[lang={language}]");
            await page.PressAsync("summary");
            await Assertions.Expect(page.Locator("#access-form")).ToBeVisibleAsync();
            await ShootAsync(page, "22-access-log-find", language);
        }
        await CheckEntryAsync(page);
        await page.GotoAsync("/access-log?own=yes");
        await Expect(page, "[data-access][data-legal-basis=own-data]");
        await LookAsync(page, "23-access-log-own");

        // The end of the session, and of the one that stayed open elsewhere.
        var elsewhere = await _chromium.OpenAsync(_host.Address);
        await elsewhere.GotoAsync("/signin");
        await elsewhere.PressAsync($"button[name=citizen][value='{_citizen.ToString(CultureInfo.InvariantCulture)}']");
        await ExpectStartAsync(elsewhere);
        await Expect(elsewhere, "#sign-out-everywhere");
        await page.PressAsync("#sign-out-everywhere button");
        await Expect(page, "[data-notice=signed-out]");
        await elsewhere.GotoAsync("/records");
        await Expect(elsewhere, "[data-notice=session-ended]");
        await page.PressAsync("#sign-in");
        await page.PressAsync($"button[name=citizen][value='{_citizen.ToString(CultureInfo.InvariantCulture)}']");
        await ExpectStartAsync(page);
        await page.PressAsync("#sign-out button");
        await Expect(page, "[data-notice=signed-out]");
        await ShootAsync(page, "24-signed-out", "fi");
        // Back shows nothing of what was there.
        await page.GotoAsync("/signin");
        await page.PressAsync($"button[name=citizen][value='{_citizen.ToString(CultureInfo.InvariantCulture)}']");
        await ExpectStartAsync(page);
        await page.GotoAsync("/records/timeline");
        await Expect(page, "[data-entry]");
        await page.PressAsync("#sign-out button");
        await Expect(page, "[data-notice=signed-out]");
        await page.GoBackAsync();
        await Expect(page, "#sign-in");
        Assert.Equal(0, await page.Locator("[data-entry]").CountAsync());
        await page.GotoAsync("/records");
        await Expect(page, "#sign-in");

        _look.AssertFaultless();
    }

    /// <summary>From an entry to a request that can be printed, back to what was written, and sent.</summary>
    private async Task RectifyAsync(IPage page)
    {
        await page.PressAsync("a[href$='/rectify']");
        await LookAsync(page, "09-rectify");
        // The browser lets an empty form go, and the page says what is missing.
        await page.PressAsync("#rectify-form button");
        await Expect(page, "[data-error] a[href='#wrong']");
        await ShootAsync(page, "09-rectify-error", "fi");
        await page.FillAsync("#wrong", "Diagnoosi on toisen henkilön.");
        await page.FillAsync("#right", "Poistakaa se.");
        await page.PressAsync("#rectify-form button");
        await Assertions.Expect(page.Locator("[data-rectification]")).ToContainTextAsync("Poistakaa se.");
        await Assertions.Expect(page.Locator("[data-print]")).ToBeVisibleAsync();
        await ShootAsync(page, "09-rectify-ready", "fi");
        await page.EmulateMediaAsync(new() { Media = Media.Print });
        await Assertions.Expect(page.Locator("#rectify-edit")).ToBeHiddenAsync();
        await ShootAsync(page, "09-rectify-on-paper", "fi");
        await page.EmulateMediaAsync(new() { Media = Media.Screen });
        await page.PressAsync("#rectify-edit button");
        await Assertions.Expect(page.Locator("#wrong")).ToHaveValueAsync("Diagnoosi on toisen henkilön.");
        await page.PressAsync("#rectify-form button");
        await page.PressAsync("#rectify-send button");
        await Expect(page, "[data-request][data-state=open]");
        await LookAsync(page, "09-rectifications");
    }

    /// <summary>The browser saves each file under a name that names nobody.</summary>
    private async Task DownloadAsync(IPage page)
    {
        await page.PressAsync(".site-footer a[href='/download']");
        await LookAsync(page, "09-download");
        foreach (var (format, name, begins) in ((string, string, string)[])[("pdf", "^records-[0-9-]{10}[.]pdf$", "%PDF-"), ("summary", "^summary-[0-9-]{10}[.]json$", "{\"resourceType\":\"Bundle\""), ("fhir", "^records-[0-9-]{10}[.]json$", "{\"resourceType\":\"Bundle\"")])
        {
            var file = await page.RunAndWaitForDownloadAsync(() => page.PressAsync($"button[value={format}]"));
            Assert.Null(await file.FailureAsync());
            Assert.Matches(name, file.SuggestedFilename);
            var text = await File.ReadAllTextAsync(await file.PathAsync());
            Assert.StartsWith(begins, text, StringComparison.Ordinal);
            if (format == "fhir")
                Assert.Contains(JsonNode.Parse(text)!["entry"]!.AsArray(), entry => (string?)entry!["resource"]!["resourceType"] == "Encounter");
        }
    }

    /// <summary>The browser itself says that an entry is as it was made, and of each thing that is not.</summary>
    private async Task CheckEntryAsync(IPage page)
    {
        await page.GotoAsync("/access-log");
        await page.PressAsync("summary:has-text('Merkinnät lokissa')");
        Assert.True(await _host.Gateway.Services.GetRequiredService<Witnessing>().AskAsync(CancellationToken.None));
        await page.PressAsync("[data-log-entry]");
        await Expect(page, "[data-proof=proven]");
        Assert.True(int.Parse(await page.InnerTextAsync("[data-told=witnesses]"), CultureInfo.InvariantCulture) >= 2);
        await Assertions.Expect(page.Locator("[data-told=witness-keys]")).ToContainTextAsync(new Regex(@"w[123].*: .*w[123]"));
        await Assertions.Expect(page.Locator("[data-result=proven].notice")).ToBeVisibleAsync();
        await Assertions.Expect(page.Locator("[data-result=failed].notice")).ToBeHiddenAsync();
        Assert.Equal(DevelopmentFolder.Clinics[1].Title, await page.InnerTextAsync("[data-told=who]"));
        await LookAsync(page, "22-entry-proven");
        var entry = page.Url;

        foreach (var (step, tamper) in ((string, Func<JsonObject, string>)[])
        [
            // One other byte of what was recorded.
            ("entry", bundle => Put(bundle, "record", Flipped(bundle["record"]!.GetValue<string>(), 40))),
            ("form", bundle => Put(bundle, "salt", Convert.ToBase64String(Convert.FromBase64String(bundle["salt"]!.GetValue<string>())[1..]))),
            ("entry", bundle => Put(bundle, "withheld", Flipped(bundle["withheld"]!.GetValue<string>(), 3))),
            // The leaf goes with it, and is then not in the log.
            ("path", bundle => Put(bundle, "proof", Proofs(bundle, static lines => lines[1] = "extra " + Flipped(lines[1][6..], 60)))),
            ("path", bundle => Put(bundle, "proof", Proofs(bundle, static lines => lines[3] = Flipped(lines[3], 5)))),
            // One hash more than the tree has above it.
            ("path", bundle => Put(bundle, "proof", Proofs(bundle, static lines => lines[Array.IndexOf(lines, "") - 1] += "\n" + lines[3]))),
            // A log that says what it likes has no signature of that key.
            ("signature", bundle => Put(bundle, "proof", Proofs(bundle, static lines => FlipLine(lines, Array.FindIndex(lines, static line => line.StartsWith('\u2014')))))),
            ("witness", bundle => Put(bundle, "proof", Proofs(bundle, static lines => FlipLine(lines, lines.Length - 2)))),
            ("form", bundle => Put(bundle, "proof", "c2sp.org/tlog-proof@v1\n")),
            // Another entry than the one whose page this is, however well it is proven.
            ("form", bundle => Put(bundle, "proof", Proofs(bundle, static lines => lines[2] += "0"))),
            // A key under the name of another.
            ("form", bundle => Put(bundle, "log", Regex.Replace(bundle["log"]!.GetValue<string>(), @"\+[0-9a-f]{8}\+", "+00000000+"))),
        ])
        {
            await page.RouteAsync("**/access-log/entry/*/proof", async route =>
            {
                var bundle = JsonNode.Parse(await (await route.FetchAsync()).TextAsync())!.AsObject();
                await route.FulfillAsync(new() { ContentType = "application/json", Body = tamper(bundle) });
            });
            await page.ReloadAsync();
            await Expect(page, $"[data-proof=failed][data-step={step}]");
            await Assertions.Expect(page.Locator("[data-result=failed].notice")).ToBeVisibleAsync();
            await Assertions.Expect(page.Locator("[data-result=proven].notice")).ToBeHiddenAsync();
            await page.UnrouteAllAsync();
        }
        // A witness whose kind of key this cannot check is passed over.
        await page.RouteAsync("**/access-log/entry/*/proof", async route =>
        {
            var bundle = JsonNode.Parse(await (await route.FetchAsync()).TextAsync())!.AsObject();
            bundle["witnesses"] = new JsonArray("w9+00000000+" + Convert.ToBase64String([6, .. new byte[1312]]));
            await route.FulfillAsync(new() { ContentType = "application/json", Body = bundle.ToJsonString() });
        });
        await page.ReloadAsync();
        await Expect(page, "[data-proof=unwitnessed]");
        Assert.Equal("0", await page.InnerTextAsync("[data-told=witnesses]"));
        await Assertions.Expect(page.Locator("[data-result=unwitnessed]")).ToBeVisibleAsync();
        await Assertions.Expect(page.Locator("[data-result=proven]")).ToBeHiddenAsync();
        await page.UnrouteAllAsync();
        // "I was not there", and then she was.
        await page.GotoAsync(entry);
        await page.PressAsync("#dispute-form button");
        await Expect(page, "[data-notice=disputed]");
        await Expect(page, "[data-dispute][data-state=open]");
        await LookAsync(page, "22-disputed");
        await page.PressAsync("[data-take-back] button");
        await Expect(page, "[data-notice=dispute-taken-back]");
        await Expect(page, "[data-dispute][data-state=taken-back]");
        // Somebody else's looks like one that is not there.
        Assert.Equal(404, (await page.GotoAsync("/access-log/entry/0"))!.Status);
        Assert.Equal(404, (await page.GotoAsync("/access-log/entry/99999999"))!.Status);

        static string Put(JsonObject bundle, string name, string value)
        {
            bundle[name] = value;
            return bundle.ToJsonString();
        }

        static string Flipped(string base64, int at)
        {
            var bytes = Convert.FromBase64String(base64);
            bytes[at] ^= 1;
            return Convert.ToBase64String(bytes);
        }

        static void FlipLine(string[] lines, int at)
        {
            var signature = lines[at].LastIndexOf(' ') + 1;
            lines[at] = lines[at][..signature] + Flipped(lines[at][signature..], 20);
        }

        static string Proofs(JsonObject bundle, Action<string[]> change)
        {
            var lines = bundle["proof"]!.GetValue<string>().Split('\n');
            change(lines);
            return string.Join('\n', lines);
        }
    }

    [Fact]
    public async Task A_citizen_denies_a_prescription_is_told_of_an_emergency_and_prints_what_she_declared()
    {
        var (visit, _) = await ArchiveAsync();
        var page = await _chromium.OpenAsync(_host.Address);
        Watch(page);
        await page.GotoAsync("/signin");
        await page.PressAsync($"button[name=citizen][value='{_citizen.ToString(CultureInfo.InvariantCulture)}']");
        await ExpectStartAsync(page);
        await page.GotoAsync("/consent/inform");
        await page.ChooseAsync("#informed");
        await page.PressAsync("#inform-form button");
        await page.GotoAsync("/consent/permit");
        await Expect(page, "[data-preview] [data-then]");
        await LookAsync(page, "40-permit-preview");
        await page.PressAsync("#permit-form button");
        await Expect(page, "[data-notice=permitted]");

        // From the prescription itself; what belongs to another choice is out of sight.
        await page.GotoAsync("/records/kind/medication");
        await page.PressAsync("[data-entry-type=MedicationRequest] a");
        await page.PressAsync("a[href^='/consent/deny?prescription']");
        await Assertions.Expect(page.Locator("#prescription")).ToBeVisibleAsync();
        await Assertions.Expect(page.Locator("#event")).ToBeHiddenAsync();
        await LookAsync(page, "41-deny-prescription");
        await page.ChooseAsync("#emergency");
        await page.PressAsync("#deny-form button[name=preview]");
        await Expect(page, "[data-preview] [data-then]");
        await ShootAsync(page, "42-deny-preview", "fi");
        await page.PressAsync("#deny-form .actions button:not([name])");
        await Expect(page, "[data-denial][data-target=prescription]");
        await page.GotoAsync("/consent/deny");
        await page.ChooseAsync("#target-register");
        await page.SelectOptionAsync("#register", new SelectOptionValue { Index = 1 });
        await page.PressAsync("#deny-form .actions button:not([name])");
        await Expect(page, "[data-denial][data-target=register]");
        await LookAsync(page, "43-denials");
        await page.PressAsync("[data-denial][data-target=prescription] a");
        await Expect(page, "[data-preview] [data-then]");
        await LookAsync(page, "44-withdraw-preview");

        // An emergency and a confirmation, recorded by the other clinic.
        var (professional, unit) = (_folder.ProfessionalOf("revontuli").Id, _folder.ProfessionalOf("revontuli").Unit);
        var now = DateTimeOffset.UtcNow;
        var emergency = Declarations.Emergency(visit.Patient, new()
        { At = now, Until = now.AddMinutes(20), Professional = professional, Organisation = _reader.Client.OrganisationOid, Unit = unit, Reason = EmergencyReason.CannotBeAsked }, "Löytynyt tajuttomana kotoaan.");
        var rescuer = _reader.Professional(professional, "ETREAT");
        Assert.Equal(201, (await rescuer.CreateAsync("Consent", emergency)).Status);
        Assert.Equal(200, (await rescuer.SearchAsync("AllergyIntolerance", $"patient={visit.Patient}")).Status);
        var confirmation = Declarations.Confirmation(visit.Patient, new()
        { At = now, Until = now.AddHours(2), Professional = professional, Organisation = _reader.Client.OrganisationOid, Unit = unit, Purpose = "TREAT", Services = ProtectedService.Psychotherapy });
        Assert.Equal(201, (await _reader.Professional(professional).CreateAsync("Consent", confirmation)).Status);
        await page.GotoAsync("/");
        await Expect(page, "[data-emergencies='1']");
        await LookAsync(page, "45-emergency");
        await page.GotoAsync("/access-log/special");
        await Expect(page, "[data-special-access][data-kind=confirmation]");
        await LookAsync(page, "46-special-accesses");
        await page.PressAsync("[data-acknowledge] button");
        await Expect(page, "[data-notice=acknowledged]");
        await ShootAsync(page, "47-acknowledged", "fi");
        await page.GotoAsync("/");
        Assert.Equal(0, await page.Locator("[data-emergencies]").CountAsync());

        // On paper: what is declared, without what belongs to the screen.
        await page.GotoAsync("/consent");
        await page.PressAsync("a[href='/consent/print']");
        await Expect(page, "[data-printed]");
        await Assertions.Expect(page.Locator("[data-print]")).ToBeVisibleAsync();
        await LookAsync(page, "48-print");
        await page.GotoAsync("/consent");
        await page.PressAsync("a[href='/consent/history']");
        await Expect(page, "[data-declared]");
        await LookAsync(page, "48-history");
        await page.GotoAsync("/consent/print");
        await page.EmulateMediaAsync(new() { Media = Media.Print });
        await Assertions.Expect(page.Locator(".site-footer")).ToBeHiddenAsync();
        await Assertions.Expect(page.Locator("[data-print]")).ToBeHiddenAsync();
        await ShootAsync(page, "49-on-paper", "fi");
        _look.AssertFaultless();
    }

    [Fact]
    public async Task Everything_a_citizen_decides_can_be_done_without_JavaScript()
    {
        var (visit, professional) = await ArchiveAsync();
        var page = await _chromium.OpenAsync(_host.Address, script: false);
        Watch(page);
        await page.GotoAsync("/");
        await page.PressAsync("#sign-in");
        await page.PressAsync($"button[name=citizen][value='{_citizen.ToString(CultureInfo.InvariantCulture)}']");
        await ExpectStartAsync(page);
        await page.GotoAsync("/consent/inform");
        await page.ChooseAsync("#informed");
        await page.PressAsync("#inform-form button");
        await Expect(page, "[data-notice=informed]");
        await page.GotoAsync("/consent/permit");
        await page.PressAsync("#permit-form button");
        await Expect(page, "[data-notice=permitted]");
        Assert.Equal(200, await ReadsAsync(professional, visit));
        await page.GotoAsync("/consent/deny");
        await page.ChooseAsync("#target-event");
        await page.SelectOptionAsync("#event", visit.ServiceEvent);
        await page.PressAsync("#deny-form button");
        await Expect(page, "[data-denial][data-target=event]");
        Assert.Equal(404, await ReadsAsync(professional, visit));
        // The browser cannot check; what it would have checked can be taken away.
        await page.GotoAsync("/access-log");
        await page.GotoAsync((await page.Locator("[data-log-entry]").First.GetAttributeAsync("href"))!);
        await Expect(page, "noscript");
        var proof = await page.APIRequest.GetAsync((await page.GetAttributeAsync("a[download]", "href"))!);
        Assert.StartsWith("c2sp.org/tlog-proof@v1\n", (await proof.JsonAsync())!.Value.GetProperty("proof").GetString(), StringComparison.Ordinal);
        await page.PressAsync("a[hreflang=sv]");
        await Expect(page, "html[lang=sv]");
        await page.PressAsync("#sign-out button");
        await Expect(page, "[data-notice=signed-out]");
        _look.AssertFaultless();
    }

    /// <summary>The pages after a theft of data are looked at, and then used by who has no script.</summary>
    [Fact]
    public async Task A_citizen_whose_data_was_taken_is_told_and_finds_what_helps()
    {
        var (visit, _) = await ArchiveAsync();
        var services = _host.Gateway.Services;
        var cases = services.GetRequiredService<BreachCases>();
        var one = await cases.OpenAsync(BreachKind.Reported, "A backup disk is missing.", new("Tiina", null));
        Assert.True(PersonalIdentityCode.TryParse(_folder.Citizens[_citizen].IdentityCode, out var code));
        var person = await services.GetRequiredService<IPseudonyms>().OfAsync(code, CancellationToken.None);
        var encounter = visit.Resources.First(static resource => resource.Type == "Encounter").Id;
        var text = new NoticeText("Varmuuskopio on kadonnut.", "Tietojasi voidaan julkaista.", "Muut kopiot on suojattu.");
        await services.GetRequiredService<BreachNotices>().SendAsync(one.Number, new(text, text, text, "Tietosuojavastaava Toivo Koe, 029 000 0000"),
            [new(person, [new("Encounter", encounter), new("Patient", visit.Patient)])], "Tiina", services.GetRequiredService<IdentifierCipher>().PatientId, CancellationToken.None);

        var page = await _chromium.OpenAsync(_host.Address);
        Watch(page);
        await page.GotoAsync("/notice-check");
        await LookAsync(page, "50-notice-check");
        await page.PressAsync("#check-form button");
        await Expect(page, "[data-error]");
        await LookAsync(page, "51-notice-check-error");
        await page.GotoAsync("/signin");
        await page.PressAsync($"button[name=citizen][value='{_citizen.ToString(CultureInfo.InvariantCulture)}']");
        await ExpectStartAsync(page);
        await Expect(page, "[data-breach-notices='1']");
        await LookAsync(page, "52-told-of-a-breach");
        await page.PressAsync("[data-breach-notices] a");
        await Expect(page, $"[data-entry='{encounter}']");
        await LookAsync(page, "53-breach-notice");
        var real = await page.GetAttributeAsync("[data-code]", "data-code");
        await page.PressAsync("[data-action=police] a[href*='/print/']");
        await Expect(page, "[data-statement=police]");
        await Expect(page, "footer a[href='/notices']");
        await LookAsync(page, "54-statement");
        await page.GotoAsync("/notices");
        await LookAsync(page, "55-breach-notices");

        var plain = await _chromium.OpenAsync(_host.Address, script: false);
        Watch(plain);
        await plain.GotoAsync("/notice-check");
        await plain.FillAsync("#code", real!.ToLowerInvariant());
        await plain.PressAsync("#check-form button");
        await Expect(plain, "[data-check=real]");
        await plain.ChooseAsync("#way-email");
        await plain.PressAsync("#report-form button");
        await Expect(plain, "[data-notice=forgery-reported]");
        await plain.GotoAsync("/signin");
        await plain.PressAsync($"button[name=citizen][value='{_citizen.ToString(CultureInfo.InvariantCulture)}']");
        await ExpectStartAsync(plain);
        await plain.GotoAsync("/notices");
        await plain.PressAsync("[data-breach-notice] a");
        await plain.PressAsync("[data-action=credit] button");
        await Expect(plain, "[data-action=credit][data-done=yes]");
        _look.AssertFaultless();
    }

    [Fact]
    public async Task A_citizen_is_asked_by_an_app_and_sees_afterwards_what_it_has_read()
    {
        var (visit, _) = await ArchiveAsync();
        var patient = visit.Patient;
        using var app = new AppClient(_folder, new(_host.Address));
        var page = await _chromium.OpenAsync(_host.Address);
        Watch(page);

        // Through the broker to the question, and on to the app.
        await page.GotoAsync(await app.AskAsync("patient/Observation.rs patient/MedicationRequest.rs patient/Patient.r"));
        await page.PressAsync($"button[name=citizen][value='{_citizen.ToString(CultureInfo.InvariantCulture)}']");
        await Expect(page, "#authorize-form");
        await LookAsync(page, "30-authorize");
        Assert.Equal("access_denied", await AnswerAsync(page, "deny", "error"));
        await page.GotoAsync(await app.AskAsync("patient/*.rs"));
        await Expect(page, "#authorize-form");
        await LookAsync(page, "31-authorize-everything");
        await page.GotoAsync(await app.AskAsync("offline_access patient/Observation.rs"));
        await Expect(page, "#authorize-form");
        Assert.Contains("30 päivää", await page.InnerTextAsync("#authorize-how-long"));
        await LookAsync(page, "31-authorize-offline");
        var code = await AnswerAsync(page, "allow", "code");

        // The same address again: nothing to answer.
        await page.GotoAsync(app.Asked);
        await LookAsync(page, "32-authorize-none");

        await app.ReadAsync(code, patient);
        await page.GotoAsync("/access-log");
        await Expect(page, "[data-access][data-app=Omakunto]");
        await LookAsync(page, "33-access-log-app");

        // What it was given ends in one place.
        await page.PressAsync("nav a[href='/apps']");
        await Expect(page, "[data-app=omakunto]");
        await LookAsync(page, "34-apps");
        await page.PressAsync("[data-end-app] button");
        await Expect(page, "[data-notice=app-ended]");
        await Expect(page, "[data-none]");
        await page.PressAsync("nav a[href='/inbox']");
        await LookAsync(page, "35-inbox");
        _look.AssertFaultless();
    }

    [Fact]
    public async Task A_session_that_nears_its_end_says_so_and_then_leaves_the_screen()
    {
        var page = await _chromium.OpenAsync(_host.Address);
        Watch(page);
        await page.GotoAsync("/");
        await page.PressAsync("#sign-in");
        await page.Clock.InstallAsync();
        await page.PressAsync($"button[name=citizen][value='{_citizen.ToString(CultureInfo.InvariantCulture)}']");
        await ExpectStartAsync(page);
        await page.GotoAsync("/records");
        await Expect(page, "[data-session-ends]");
        await page.Clock.FastForwardAsync("12:00");
        await Assertions.Expect(page.Locator("#session-warning")).ToBeHiddenAsync();
        // Two minutes before the fifteen are over.
        await page.Clock.FastForwardAsync("01:30");
        await Assertions.Expect(page.Locator("#session-warning")).ToBeVisibleAsync();
        await _look.ShootAsync(page, "40-session-warning", "fi");
        // Prolonged where the page stands: what is typed would be lost otherwise.
        await page.EvaluateAsync("() => { window.isTheSame = true; }");
        var prolonged = page.WaitForResponseAsync(response => new Uri(response.Url).AbsolutePath == "/session");
        await page.PressAsync("#session-warning a");
        Assert.Equal(200, (await prolonged).Status);
        await Assertions.Expect(page.Locator("#content")).ToBeFocusedAsync();
        Assert.True(await page.EvaluateAsync<bool>("() => window.isTheSame"));
        await page.Clock.FastForwardAsync("16:00");
        await ExpectStartAsync(page);
        _look.AssertFaultless();
    }

    [Fact]
    public async Task A_citizen_answers_an_app_without_JavaScript()
    {
        using var app = new AppClient(_folder, new(_host.Address));
        var page = await _chromium.OpenAsync(_host.Address, script: false);
        Watch(page);
        await page.GotoAsync(await app.AskAsync("patient/Observation.rs"));
        await page.PressAsync($"button[name=citizen][value='{_citizen.ToString(CultureInfo.InvariantCulture)}']");
        await Expect(page, "#authorize-form");
        await page.PressAsync("a[hreflang=sv]");
        await Expect(page, "html[lang=sv]");
        Assert.NotEmpty(await AnswerAsync(page, "allow", "code"));
        _look.AssertFaultless();
    }

    /// <summary>Presses a button and follows the browser to the app, whose site is not there.</summary>
    /// <returns>The value of the parameter that it brings.</returns>
    private static async Task<string> AnswerAsync(IPage page, string answer, string parameter)
    {
        var there = new Regex("^" + Regex.Escape(DevelopmentFolder.AppRedirect));
        var sent = await page.RunAndWaitForRequestAsync(() => page.PressAsync($"#authorize-form button[value={answer}]"), there, new() { Timeout = 60_000 });
        // The browser's own page about a site that is not there comes by a navigation of its own.
        await Assertions.Expect(page).ToHaveURLAsync(new Regex("^chrome-error:"), new() { Timeout = 60_000 });
        return HttpUtility.ParseQueryString(new Uri(sent.Url).Query)[parameter]!;
    }

    private Task LookAsync(IPage page, string name) => _look.LookAsync(page, name);

    private Task ShootAsync(IPage page, string name, string language) => _look.ShootAsync(page, name, language);

    private void Watch(IPage page) => _look.Watch(page);

    /// <summary>By the address alone: waiting for a page's load event as well can miss one that has just been.</summary>
    private static Task ExpectStartAsync(IPage page) => Assertions.Expect(page).ToHaveURLAsync("/", new() { Timeout = 60_000 });

    private static async Task Expect(IPage page, string selector) =>
        await page.WaitForSelectorAsync(selector, new() { State = WaitForSelectorState.Attached });

    /// <summary>One clinic archives a visit worth reading; the other has the citizen in its care.</summary>
    private async Task<(ArchivedVisit Visit, FhirSession Professional)> ArchiveAsync()
    {
        var citizen = _folder.Citizens[_citizen];
        var patient = await ArchivedVisit.RegisterAsync(_archivist.System, citizen.IdentityCode, citizen.Name);
        var visit = await ArchivedVisit.StoreAsync(_archivist.System, patient, "Keskivaikea masennustila", "Nukahtaminen on helpottunut.\nUusi käynti kahden viikon kuluttua.");
        foreach (var resource in Further(patient, visit))
            Assert.Equal(201, (await _archivist.System.CreateAsync((string)resource["resourceType"]!, Some.Bytes(resource))).Status);

        await ArchivedVisit.RegisterAsync(_reader.System, citizen.IdentityCode, citizen.Name);
        var open = Some.Encounter($"Patient/{patient}", Some.ServiceEvent(_reader));
        Assert.Equal(201, (await _reader.System.CreateAsync("Encounter", Some.Bytes(open))).Status);
        return (visit, _reader.Professional(_folder.ProfessionalOf("revontuli").Id));
    }

    private static IEnumerable<JsonObject> Further(string patient, ArchivedVisit visit)
    {
        var encounter = visit.Resources.First(r => r.Type == "Encounter").Id;
        string[] resources =
        [
            """{"resourceType":"MedicationRequest","status":"active","intent":"order","medicationCodeableConcept":{"text":"Sertraliini 50 mg tabletti"},"authoredOn":"2026-03-12","dosageInstruction":[{"text":"1 tabletti aamuisin"}]}""",
            """{"resourceType":"Observation","status":"final","code":{"text":"Verenpaine"},"effectiveDateTime":"2026-03-12T08:15:00Z","component":[{"code":{"text":"Systolinen"},"valueQuantity":{"value":128,"unit":"mmHg"}},{"code":{"text":"Diastolinen"},"valueQuantity":{"value":82,"unit":"mmHg"}}]}""",
            """{"resourceType":"Observation","status":"final","code":{"text":"Kolesteroli (LDL)"},"effectiveDateTime":"2025-11","valueQuantity":{"value":3.1415926,"unit":"mmol/l"},"referenceRange":[{"high":{"value":3.0,"unit":"mmol/l"}}]}""",
            """{"resourceType":"Observation","status":"final","code":{"text":"Kolesteroli (LDL)"},"effectiveDateTime":"2026-03-12T08:00:00Z","valueQuantity":{"value":2.7,"unit":"mmol/l"},"referenceRange":[{"high":{"value":3.0,"unit":"mmol/l"}}]}""",
            """{"resourceType":"Procedure","status":"completed","code":{"text":"Keskusteluterapiakäynti, 45 minuuttia"},"performedDateTime":"2026-03-12T09:00:00Z"}""",
        ];
        foreach (var text in resources)
        {
            var resource = JsonNode.Parse(text)!.AsObject();
            resource["subject"] = new JsonObject { ["reference"] = $"Patient/{patient}" };
            resource["encounter"] = new JsonObject { ["reference"] = $"Encounter/{encounter}" };
            yield return resource;
        }
        yield return JsonNode.Parse($$$"""{"resourceType":"AllergyIntolerance","clinicalStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical","code":"active"}]},"code":{"text":"Penisilliini"},"criticality":"high","recordedDate":"2020","reaction":[{"manifestation":[{"text":"Nokkosihottuma"}]}],"patient":{"reference":"Patient/{{{patient}}}"}}""")!.AsObject();
        yield return JsonNode.Parse($$$"""{"resourceType":"Immunization","status":"completed","vaccineCode":{"text":"Kausi-influenssarokote"},"occurrenceDateTime":"2025-10-20","patient":{"reference":"Patient/{{{patient}}}"}}""")!.AsObject();
    }

    /// <summary>What the other clinic's professional gets when reading the visit.</summary>
    private static async Task<int> ReadsAsync(FhirSession professional, ArchivedVisit visit)
    {
        var (type, id) = visit.Resources.First(r => r.Type == "DocumentReference");
        return (await professional.ReadAsync(type, id)).Status;
    }

    /// <summary>The first of three free ports in a row: gateway, simulators, metrics.</summary>
    internal static int FreePorts()
    {
        for (var i = 0; ; i++)
        {
            var listeners = new List<TcpListener>();
            try
            {
                var first = new TcpListener(System.Net.IPAddress.Loopback, 0);
                first.Start();
                listeners.Add(first);
                var port = ((System.Net.IPEndPoint)first.LocalEndpoint).Port;
                foreach (var next in (int[])[port + 1, port + 2])
                {
                    var listener = new TcpListener(System.Net.IPAddress.Loopback, next);
                    listener.Start();
                    listeners.Add(listener);
                }
                return port;
            }
            catch (SocketException) when (i < 50)
            {
                // Another process has the port after; look elsewhere.
            }
            finally
            {
                listeners.ForEach(l => l.Stop());
            }
        }
    }
}
