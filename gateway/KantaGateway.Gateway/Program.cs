using KantaGateway.Fhir.Transport;
using KantaGateway.Gateway;

OptionsCheck.RequirePrivateConfiguration("appsettings.json", nameof(GatewayOptions.Redis));
var configuration = new ConfigurationBuilder().AddJsonFile("appsettings.json", optional: true).AddEnvironmentVariables("KANTA_").AddCommandLine(args).Build();
var options = configuration.GetSection("Gateway").Get<GatewayOptions>(o => o.ErrorOnUnknownConfiguration = true)
    ?? throw new InvalidOperationException("The section Gateway is missing from the configuration.");
await GatewayHost.Build(options, builder => builder.Logging.AddSimpleConsole()).RunAsync();
