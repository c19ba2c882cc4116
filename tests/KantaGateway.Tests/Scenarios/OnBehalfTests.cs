using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using KantaGateway.Dev;
using KantaGateway.Harness.Clients;
using KantaGateway.Harness.Drills;
using KantaGateway.Harness.Verification;
using KantaGateway.Simulators;

namespace KantaGateway.Tests.Scenarios;

/// <summary>Acting for another over the public contract: broker, e-Authorizations, portal, decision, audit.</summary>
public sealed class OnBehalfTests(OnBehalfTests.World world) : IClassFixture<OnBehalfTests.World>
{
    [Fact]
    public async Task A_guardian_reads_her_childs_record_and_nothing_of_her_own_meanwhile()
    {
        using var helmi = world.Citizen("guardian");
        await helmi.SignInAsync();
        Assert.Equal([world.OfGuardian], await ObservationsAsync(helmi));
        var page = await ActForAsync(helmi, "Onni Koe");
        Assert.Equal(("/", "acting"), (page.Address.AbsolutePath, page.With("data-notice").Single()["data-notice"]));
        Assert.Equal(("Onni Koe", "custodian"), (page.With("data-acting-for").Single()["data-acting-for"], page.With("data-acting-for").Single()["data-acting-as"]));
        Assert.Equal([world.OfChild], await ObservationsAsync(helmi));
        Assert.Equal(404, (await helmi.GetAsync($"/records/entry/Observation/{world.OfGuardian}")).Status);

        page = await helmi.SubmitAsync((await helmi.GetAsync("/records")).Form("to-oneself")!, []);
        Assert.Equal("acting-over", page.With("data-notice").Single()["data-notice"]);
        Assert.Empty(page.With("data-acting-for"));
        Assert.Equal([world.OfGuardian], await ObservationsAsync(helmi));
        Assert.Equal(404, (await helmi.GetAsync($"/records/entry/Observation/{world.OfChild}")).Status);
    }

    /// <summary>Law 703/2023 §10, §74.</summary>
    [Fact]
    public async Task Who_acted_stands_in_the_log_and_the_represented_person_reads_her_name()
    {
        using (var helmi = world.Citizen("guardian"))
        {
            await helmi.SignInAsync();
            await ActForAsync(helmi, "Onni Koe");
            await helmi.GetAsync($"/records/entry/Observation/{world.OfChild}");
        }
        using var audit = new AuditOnDisk(world.Data);
        audit.Refresh();
        var read = audit.All.Last(e => e.GetRawText().Contains($"Observation/{world.OfChild}", StringComparison.Ordinal));
        var user = read.GetProperty("agent").EnumerateArray().Single(a => a.GetProperty("requestor").GetBoolean() && a.TryGetProperty("name", out _));
        Assert.Equal(("Helmi Koe", $"Patient/{world.Guardian}"), (user.GetProperty("name").GetString(), user.GetProperty("who").GetProperty("reference").GetString()));
        Assert.Equal("GUARD", user.GetProperty("role")[0].GetProperty("coding")[0].GetProperty("code").GetString());
        Assert.Contains(read.GetProperty("entity").EnumerateArray(), e => e.TryGetProperty("what", out var what) && what.TryGetProperty("reference", out var of) && of.GetString() == $"Patient/{world.Child}");
        Assert.Contains("urn:kanta:legal-basis:on-behalf", read.GetRawText());
        // That she came to act for the child stands there too.
        Assert.Contains(audit.All, e => e.TryGetProperty("outcomeDesc", out var said) && said.GetString() == "The citizen acts for the person from now on." && e.GetRawText().Contains($"Patient/{world.Child}", StringComparison.Ordinal));

        using var onni = world.Citizen("minor");
        await onni.SignInAsync();
        var log = await onni.GetAsync("/access-log");
        var line = log.With("data-access").First(a => a["data-representative"].Length > 0);
        Assert.Equal(("Helmi Koe", "on-behalf"), (line["data-representative"], line["data-legal-basis"]));
        Assert.Contains("Helmi Koe", log.Text);
    }

    [Fact]
    public async Task A_guardian_permits_for_her_child_but_decides_no_denial_and_sees_no_disclosure_list()
    {
        using var helmi = world.Citizen("guardian");
        await helmi.SignInAsync();
        await ActForAsync(helmi, "Onni Koe");
        Assert.Equal(403, (await helmi.GetAsync("/access-log")).Status);
        // First the informing, on which it rests.
        var page = await helmi.GetAsync("/consent/permit");
        page = await helmi.SubmitAsync(page.Form("permit-form")!, new() { ["permit"] = "yes" });
        Assert.Equal(("/consent/inform", "inform-first"), (page.Address.AbsolutePath, page.With("data-notice").Single()["data-notice"]));
        await helmi.BeInformedAsync();
        await helmi.PermitAsync();
        page = await helmi.GetAsync("/consent");
        Assert.Empty(page.With("data-consent-state"));
        var form = page.Form("sign-out")!;
        async Task RefusesAsync(string path, string name, string value)
        {
            var refused = await helmi.SubmitAsync(form with { Action = new(helmi.Target, path) }, new() { [name] = value });
            Assert.Equal(("/consent", "custodian-no-denials"), (refused.Address.AbsolutePath, refused.With("data-notice").Single()["data-notice"]));
        }
        await RefusesAsync("/consent/deny", "target", "all");

        using var onni = world.Citizen("minor");
        await onni.SignInAsync();
        Assert.NotNull((await onni.ConsentAsync()).Permission);
        Assert.Empty((await onni.ConsentAsync()).Denials);
        await onni.DenyAllAsync();
        var denial = Assert.Single((await onni.ConsentAsync()).Denials);
        await RefusesAsync("/consent/withdraw", "id", denial.Id);
        Assert.Single((await onni.ConsentAsync()).Denials);
        // Nor does she see it.
        Assert.Equal(404, (await helmi.GetAsync($"/records/entry/Consent/{denial.Id}")).Status);
        await onni.WithdrawEverythingAsync();
    }

    /// <summary>§51: what a child has denied is not to be found out by asking who would see what.</summary>
    [Fact]
    public async Task A_guardian_who_asks_who_sees_what_is_told_the_same_whatever_the_child_has_denied()
    {
        using var helmi = world.Citizen("guardian");
        await helmi.SignInAsync();
        var (preview, explain) = ("/consent/v1/preview", $$$"""{"entry":{"type":"Observation","id":"{{{world.OfChild}}}"}}""");
        Assert.Equal(404, (await helmi.AskAsync("/consent/v1/explain", explain)).Status);
        await ActForAsync(helmi, "Onni Koe");
        async Task<string[]> AskedAsync() => [.. (await Task.WhenAll(helmi.AskAsync(preview, "{}"), helmi.AskAsync("/consent/v1/explain", explain))).Select(p => $"{p.Status} {Regex.Replace(p.Html, "\"(correlationId|traceId)\":\"[^\"]*\"", "")}")];
        var before = await AskedAsync();
        Assert.All(before, answer => Assert.StartsWith("403 ", answer));
        using var onni = world.Citizen("minor");
        await onni.SignInAsync();
        await onni.BeInformedAsync();
        await onni.DenyAllAsync();
        Assert.Equal(before, await AskedAsync());
        Assert.Equal(200, (await onni.AskAsync("/consent/v1/explain", explain)).Status);
        await onni.WithdrawEverythingAsync();
        foreach (var path in (string[])["/access-log/special", "/consent/print", "/consent/history"])
            Assert.Equal(403, (await helmi.GetAsync(path)).Status);
    }

    /// <summary>What is taken along is what is shown, by the real repository: of one person, released, and for a custodian without what is the child's alone (§34, §51).</summary>
    [Fact]
    public async Task A_downloaded_file_has_what_its_owner_is_shown_and_nothing_else()
    {
        var (delayed, unknown) = (await world.StoreAsync("guardian", "Uusi tulos", isDelayed: true), await world.StoreAsync("minor", "Lapsen oma"));
        using var onni = world.Citizen("minor");
        await onni.SignInAsync();
        await onni.BeInformedAsync();
        await onni.DenyAllAsync();
        var (entries, text) = await DownloadAsync(onni, "fhir");
        Assert.Superset(new HashSet<string> { $"Patient/{world.Child}", $"Observation/{world.OfChild}", $"Observation/{unknown}" }, entries);
        Assert.Contains(entries, entry => entry.StartsWith("Consent/", StringComparison.Ordinal));

        using var helmi = world.Citizen("guardian");
        await helmi.SignInAsync();
        (entries, text) = await DownloadAsync(helmi, "fhir");
        Assert.Contains($"Observation/{world.OfGuardian}", entries);
        Assert.DoesNotContain($"Observation/{delayed}", entries);
        Assert.DoesNotContain(world.Child, text);
        Assert.Contains($"Observation/{world.OfGuardian}", (await DownloadAsync(helmi, "summary")).Entries);

        await ActForAsync(helmi, "Onni Koe");
        foreach (var format in (string[])["fhir", "summary"])
        {
            (entries, text) = await DownloadAsync(helmi, format);
            Assert.Superset(new HashSet<string> { $"Patient/{world.Child}", $"Observation/{world.OfChild}" }, entries);
            Assert.DoesNotContain($"Observation/{unknown}", entries);
            Assert.DoesNotContain(entries, entry => entry.StartsWith("Consent/", StringComparison.Ordinal));
            Assert.DoesNotContain(world.OfGuardian, text);
        }
        await onni.WithdrawEverythingAsync();
    }

    private static async Task<(HashSet<string> Entries, string Text)> DownloadAsync(CitizenClient citizen, string format)
    {
        var page = await citizen.SubmitAsync((await citizen.GetAsync("/download")).Form("download-form")!, new() { ["format"] = format });
        Assert.Equal(200, page.Status);
        var bundle = JsonNode.Parse(page.Html)!;
        return ([.. bundle["entry"]!.AsArray().Select(e => e!["resource"]!).Select(r => $"{r["resourceType"]}/{r["id"]}")], page.Html);
    }

    [Fact]
    public async Task Who_holds_a_mandate_does_what_the_person_may()
    {
        using var raija = world.Citizen("mandate-holder");
        await raija.SignInAsync();
        var page = await ActForAsync(raija, "Toivo Vanhus");
        Assert.Equal("mandate", page.With("data-acting-for").Single()["data-acting-as"]);
        await raija.BeInformedAsync();
        await raija.DenyAllAsync();
        Assert.Single((await raija.ConsentAsync()).Denials);
        Assert.NotEmpty(await raija.AccessLogAsync());
        using var toivo = world.Citizen("mandate-giver");
        await toivo.SignInAsync();
        Assert.Single((await toivo.ConsentAsync()).Denials);
        Assert.Contains(page.With("data-acting-for"), tag => tag["data-acting-for"] == toivo.Entry.Name);
        await raija.WithdrawEverythingAsync();
        Assert.Empty((await toivo.ConsentAsync()).Denials);
    }

    /// <summary>GDPR Art. 16; Act 703/2023 §50-51: by mandate as the person, of a child on paper.</summary>
    [Fact]
    public async Task Who_holds_a_mandate_asks_for_a_rectification_and_takes_it_back_and_a_custodian_does_neither()
    {
        using var raija = world.Citizen("mandate-holder");
        await raija.SignInAsync();
        var rectify = $"/records/entry/Observation/{world.OfGiver}/rectify";
        Assert.Equal(404, (await raija.GetAsync(rectify)).Status);
        await ActForAsync(raija, "Toivo Vanhus");
        var page = await raija.SubmitAsync((await raija.GetAsync(rectify)).Form("rectify-form")!, new() { ["wrong"] = "Paino on väärin", ["right"] = "Se oli 80 kg" });
        page = await raija.SubmitAsync(page.Form("rectify-send")!, []);
        Assert.Equal(("/records/rectifications", "rectification-sent"), (page.Address.AbsolutePath, page.With("data-notice").Single()["data-notice"]));
        var request = page.With("data-request").Single()["data-request"];

        using var toivo = world.Citizen("mandate-giver");
        await toivo.SignInAsync();
        Assert.Contains("Paino on väärin", (await toivo.GetAsync("/records/rectifications")).Text);
        // Hers it is not: in her own session she sees nothing of it, and takes nothing back.
        using var other = world.Citizen("mandate-holder");
        await other.SignInAsync();
        Assert.Empty((await other.GetAsync("/records/rectifications")).With("data-request"));
        var (withdraw, body) = ("/records/v1/rectifications/withdraw", $$"""{"request":"{{request}}"}""");
        Assert.Equal(404, (await other.AskAsync(withdraw, body)).Status);
        Assert.Equal(204, (await raija.AskAsync(withdraw, body)).Status);
        Assert.Equal("withdrawn", (await toivo.GetAsync("/records/rectifications")).With("data-request").Single()["data-state"]);

        using var helmi = world.Citizen("guardian");
        await helmi.SignInAsync();
        await ActForAsync(helmi, "Onni Koe");
        page = await helmi.SubmitAsync((await helmi.GetAsync($"/records/entry/Observation/{world.OfChild}/rectify")).Form("rectify-form")!, new() { ["wrong"] = "Ei kuumetta", ["right"] = "Poistakaa" });
        Assert.Null(page.Form("rectify-send"));
        Assert.Equal(403, (await helmi.GetAsync("/records/rectifications")).Status);
        foreach (var (path, asked) in ((string, string)[])[("/records/v1/rectifications", $$$"""{"entry":{"type":"Observation","id":"{{{world.OfChild}}}"},"wrong":"x","right":"y"}"""), (withdraw, body)])
            Assert.Equal(403, (await helmi.AskAsync(path, asked)).Status);
    }

    [Fact]
    public async Task A_non_disclosure_order_keeps_a_guardian_from_her_childs_record()
    {
        using var helmi = world.Citizen("guardian");
        await helmi.SignInAsync();
        var page = await ActForAsync(helmi, "Oona Koe");
        Assert.Equal(("/on-behalf", "acting-refused"), (page.Address.AbsolutePath, page.With("data-notice").Single()["data-notice"]));
        Assert.Empty(page.With("data-acting-for"));
        Assert.Equal([world.OfGuardian], await ObservationsAsync(helmi));
    }

    [Fact]
    public async Task Somebody_whom_nobody_has_let_act_is_offered_nobody()
    {
        using var aino = world.Citizen("adult");
        await aino.SignInAsync();
        Assert.DoesNotContain((await ChoiceAsync(aino)).Form("selection")!.Buttons, b => b.Name == "person");
    }

    [Fact]
    public async Task While_the_service_is_away_nobody_comes_to_act_and_the_own_record_stays()
    {
        using var helmi = world.Citizen("guardian");
        await helmi.SignInAsync();
        world.Authorizations.Misbehaves = (AuthorizationsStep.Register, AuthorizationsFault.Error);
        try
        {
            var page = await ChoiceAsync(helmi);
            Assert.Equal(("/on-behalf", "acting-unavailable"), (page.Address.AbsolutePath, page.With("data-notice").Single()["data-notice"]));
        }
        finally
        {
            world.Authorizations.Misbehaves = default;
        }
        Assert.Equal([world.OfGuardian], await ObservationsAsync(helmi));
    }

    [Fact]
    public async Task An_app_is_let_at_ones_own_record_only()
    {
        using var helmi = world.Citizen("guardian");
        await helmi.SignInAsync();
        await ActForAsync(helmi, "Onni Koe");
        var page = await helmi.GetAsync("/connect/authorize?client_id=omakunto&request_uri=urn:ietf:params:oauth:request_uri:none");
        Assert.Equal(("/on-behalf", "acting-own-only"), (page.Address.AbsolutePath, page.With("data-notice").Single()["data-notice"]));
    }

    /// <summary>Law 6. Nothing that is kept has a code of either person, nor an address of the portal.</summary>
    [Fact]
    public async Task No_file_and_no_address_of_the_portal_holds_an_identity_code()
    {
        using var helmi = world.Citizen("guardian");
        await helmi.SignInAsync();
        await ActForAsync(helmi, "Onni Koe");
        await helmi.GetAsync("/records");
        string[] codes = [.. DevelopmentFolder.Citizens.Select(c => c.IdentityCode)];
        Assert.Equal([], ClearText.Find(world.Data, codes, file => file is "citizens.json" or "demo.http"));
        Assert.DoesNotContain(helmi.Visited, address => codes.Any(code => address.OriginalString.Contains(code, StringComparison.Ordinal)));
    }

    private static async Task<string[]> ObservationsAsync(CitizenClient citizen) =>
        [.. (await citizen.RecordsAsync("/records/timeline")).Where(e => e.Type == "Observation").Select(e => e.Id)];

    private static async Task<Page> ChoiceAsync(CitizenClient citizen)
    {
        var page = await citizen.GetAsync("/on-behalf");
        return await citizen.SubmitAsync(page.Form("choose-person")!, []);
    }

    private static async Task<Page> ActForAsync(CitizenClient citizen, string name)
    {
        var form = (await ChoiceAsync(citizen)).Form("selection")!;
        return await citizen.SubmitAsync(form, new() { ["person"] = form.Buttons.Single(b => b.Text == name).Value });
    }

    /// <summary>The development host with records of a guardian and her child.</summary>
    public sealed class World : IAsyncLifetime
    {
        private DevHost? _host;

        internal string Data { get; } = Directory.CreateTempSubdirectory("kanta-behalf").FullName;
        internal DevFolder Folder { get; private set; } = null!;
        internal SimulatedAuthorizations Authorizations => _host!.Authorizations;
        public string Guardian { get; private set; } = "";
        public string Child { get; private set; } = "";
        public string OfGuardian { get; private set; } = "";
        public string OfChild { get; private set; } = "";
        public string Giver { get; private set; } = "";
        public string OfGiver { get; private set; } = "";

        internal CitizenClient Citizen(string role) => new(Folder, new(_host!.Address), IndexOf(role));

        private int IndexOf(string role) => Folder.Citizens.Index().First(c => c.Item.Role == role).Index;

        public async Task InitializeAsync()
        {
            _host = await DevHost.StartAsync(new DevHostOptions { DataFolder = Data, Port = RunningHost.FreePorts() });
            Folder = new(Data);
            using var clinic = ClinicClient.Open(Folder, "aurora", new(_host.Address));
            (Guardian, OfGuardian) = await AdmitAsync(clinic, "guardian", "Verenpaine");
            (Child, OfChild) = await AdmitAsync(clinic, "minor", "Kuume");
            (Giver, OfGiver) = await AdmitAsync(clinic, "mandate-giver", "Paino");
        }

        public async Task DisposeAsync()
        {
            if (_host is not null)
                await _host.DisposeAsync();
            Directory.Delete(Data, true);
        }

        /// <summary>One more observation of a person, of which nobody says whether custodians are shown it.</summary>
        /// <param name="isDelayed">Not yet released to the person.</param>
        internal async Task<string> StoreAsync(string role, string what, bool isDelayed = false)
        {
            using var clinic = ClinicClient.Open(Folder, "aurora", new(_host!.Address));
            var observation = new JsonObject
            {
                ["resourceType"] = "Observation", ["status"] = "final", ["code"] = new JsonObject { ["text"] = what },
                ["subject"] = new JsonObject { ["reference"] = $"Patient/{(role == "minor" ? Child : Guardian)}" },
            };
            if (isDelayed)
                observation["meta"] = new JsonObject { ["security"] = new JsonArray(new JsonObject { ["system"] = "https://hl7.fi/fhir/finnish-base-profiles/CodeSystem/fi-base-release-for-patient-viewing-cs", ["code"] = "1" }) };
            var reply = await clinic.System.CreateAsync("Observation", Some.Bytes(observation));
            Assert.Equal(201, reply.Status);
            return reply.Json.GetProperty("id").GetString()!;
        }

        private async Task<(string Patient, string Observation)> AdmitAsync(ClinicClient clinic, string role, string what)
        {
            var person = Folder.Citizens[IndexOf(role)];
            var patient = await ArchivedVisit.RegisterAsync(clinic.System, person.IdentityCode, person.Name);
            var observation = new JsonObject
            {
                ["resourceType"] = "Observation", ["status"] = "final", ["code"] = new JsonObject { ["text"] = what },
                ["subject"] = new JsonObject { ["reference"] = $"Patient/{patient}" },
            };
            // Shown to custodians (1): what does not say so of a minor who may be able to decide is not.
            if (role == "minor")
                observation["meta"] = new JsonObject { ["security"] = new JsonArray(new JsonObject { ["system"] = "urn:oid:1.2.246.537.5.40202", ["code"] = "1" }) };
            var reply = await clinic.System.CreateAsync("Observation", Some.Bytes(observation));
            Assert.Equal(201, reply.Status);
            return (patient, reply.Json.GetProperty("id").GetString()!);
        }
    }
}
